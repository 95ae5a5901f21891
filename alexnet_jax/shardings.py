"""How a mesh divides the parameters of a network, and how arrays come to lie on it."""

from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.dense_layers import shared_layers, shared_widths
from alexnet_jax.layer_specs import Output
from alexnet_jax.mesh import MeshAxes
from alexnet_jax.params import BatchStats, Layer, Params


def shared_on(axes: MeshAxes | None, architecture: Architecture) -> dict[str, LayerInfo]:
    """Return the layers that the devices of the mesh share, as `shared_layers` does.

    Raises ValueError if the devices cannot divide their features.
    """
    if axes is None or axes.dense_devices == 1:
        return {}
    if odd := [width for width in shared_widths(architecture) if width % axes.dense_devices]:
        raise ValueError(
            f"{architecture.name} has dense layers of {odd[0]:,} features, "
            f"which cannot be divided among {axes.dense_devices} devices"
        )
    return shared_layers(architecture)


def param_specs(axes: MeshAxes, architecture: Architecture) -> Params:
    """Return how the mesh divides each parameter, a pytree like `Params` of PartitionSpecs.

    Outputs are divided over the towers, or over the devices that share a dense layer; in the last
    layer, the inputs.
    """
    shared = shared_on(axes, architecture)
    specs: Params = {}  # `_make` takes specs in place of arrays
    for own in architecture.layer_info():
        info = shared.get(own.name, own)
        axis = axes.dense if own.name in shared else axes.tower
        if info.weight_shape is None or info.bias_shape is None:
            continue
        weights, biases = (
            P(*[None] * (len(shape) - 1), axis) for shape in (info.weight_shape, info.bias_shape)
        )
        if isinstance(info.spec, Output):
            weights, biases = P(axis, None), P()
        elif info.spec.per_map and info.replicated_in:
            weights, biases = P(), P()
        specs[info.name] = Layer._make((weights, biases))
        if info.stats_name:
            specs[info.stats_name] = BatchStats._make((weights, biases))
    return specs


Tree = TypeVar("Tree")


def place(mesh: Mesh, arrays: Tree, specs: object) -> Tree:
    """Reshard arrays to explicit axes, where `shard_map` refuses any other sharding.

    XLA divides them over the automatic axes of the same mesh.
    """
    explicit = {
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    }
    if not explicit:
        return arrays

    def explicit_part(spec: P) -> P:
        return P(*(_only(explicit, entry) for entry in spec))

    specs = jax.tree.map(explicit_part, specs, is_leaf=lambda leaf: isinstance(leaf, P))
    return jax.tree.map(jax.sharding.reshard, arrays, as_shardings(mesh, specs))


def _only(axes: set[str], entry: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """Return those of `axes` that divide an axis of an array."""
    if isinstance(entry, tuple):
        return tuple(axis for axis in entry if axis in axes) or None
    return entry if entry in axes else None


def as_shardings(mesh: Mesh, specs: Any) -> Any:
    """Return a pytree of PartitionSpecs as one of shardings."""
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, P)
    )
