"""How a mesh divides the parameters of a network, and how arrays come to lie on it."""

from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.layer_specs import Output
from alexnet_jax.mesh import MeshAxes
from alexnet_jax.params import BatchStats, Layer, Params


def param_specs(axes: MeshAxes, architecture: Architecture) -> Params:
    """Return how the mesh divides each parameter, a pytree like `Params` of PartitionSpecs.

    Outputs are divided over the towers; in the last layer, the inputs.
    """

    def along_last_axis(shape: Shape) -> P:
        return P(*[None] * (len(shape) - 1), axes.tower)

    specs: Params = {}  # `_make` takes specs in place of arrays
    for info in architecture.layer_info():
        if info.weight_shape is None or info.bias_shape is None:
            continue
        weights, biases = along_last_axis(info.weight_shape), along_last_axis(info.bias_shape)
        if isinstance(info.spec, Output):
            weights, biases = P(axes.tower, None), P()
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
