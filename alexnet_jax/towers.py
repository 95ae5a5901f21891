"""Towers and devices: the only file of the library with meshes, axes, collectives and shardings.

Axis names: "tower" divides the kernels of every layer, one tower (or several) per device;
"data" divides the batch over groups of devices that each hold all towers. The devices may belong
to several processes (`jax.distributed`): each process holds its own rows of a batch.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.architecture import Architecture, Shape
from alexnet_jax.architectures import get
from alexnet_jax.layer_specs import Output
from alexnet_jax.params import BatchStats, Layer, Params

DATA, TOWER = "data", "tower"
LayerParams = TypeVar("LayerParams", Layer, BatchStats)


def make_mesh(devices: int = 2, towers: int = 2) -> Mesh:
    """Return a mesh of `devices` devices, each pair with one tower per device (§3.2).

    One device holds all towers. A network of two towers also takes 4, 6, 8, ... devices: they
    repeat the pair and divide the batch. A network of one tower takes any number. Every process
    contributes the same number of devices.

    Raises:
      ValueError: fewer devices than asked for, or a number that the towers or the processes cannot
        divide.
    """
    if devices < 1 or (devices > 1 and devices % towers):
        raise ValueError(f"{towers} towers need 1 device or a multiple of {towers}, not {devices}")
    available = jax.devices()
    if len(available) < devices:
        platform = available[0].platform.upper()
        raise ValueError(
            f"{devices} devices were requested, and JAX finds {len(available)} {platform}"
        )
    # Only axes that divide something: XLA runs a collective over an axis of one device, too.
    tower_axis = towers if devices > 1 else 1
    sizes = {DATA: devices // tower_axis, TOWER: tower_axis}
    axes = {axis: size for axis, size in sizes.items() if size > 1} or {TOWER: 1}
    return jax.make_mesh(
        tuple(axes.values()),
        tuple(axes),
        axis_types=(AxisType.Auto,) * len(axes),
        devices=_take_from_each_process(available, devices),
    )


def _take_from_each_process(available: Sequence[Any], count: int) -> list[Any]:
    """Take `count` devices, the same number from each process."""
    # `Any`: jax.Device is a variable to type checkers.
    by_process: dict[int, list[Any]] = defaultdict(list)
    for device in available:
        by_process[device.process_index].append(device)
    share, rest = divmod(count, len(by_process))
    if rest:
        raise ValueError(f"{count} devices cannot be divided among {len(by_process)} processes")
    fewest = min(map(len, by_process.values()))
    if fewest < share:
        raise ValueError(
            f"{count} devices are {share} per process, and one of the processes has {fewest}"
        )
    return [device for devices in by_process.values() for device in devices[:share]]


@dataclass(frozen=True)
class Towers:
    """The towers on one device, and how they communicate with those on other devices.

    Activations travel as a list with one array per local tower. After a `Gather` all entries of
    the list are the same array, which is replicated on every tower.
    """

    count: int
    """Towers on this device."""
    axes: tuple[str, ...] = ()
    """Names of the mesh axes; none on a single device."""

    def split_params(self, params: LayerParams) -> list[LayerParams]:
        """Split parameters into one part per local tower, along the last axis."""
        return [params._make(part) for part in zip(*map(self.split, params), strict=True)]

    def split(self, x: jax.Array) -> list[jax.Array]:
        """Split an array into one part per local tower, along the last axis."""
        return jnp.split(x, self.count, axis=-1) if self.count > 1 else [x]

    def concat(self, xs: Sequence[jax.Array]) -> jax.Array:
        """Concatenate the arrays of the local towers along the last axis."""
        return jnp.concatenate(xs, axis=-1) if self.count > 1 else xs[0]

    def gather(self, xs: Sequence[jax.Array]) -> list[jax.Array]:
        """Give every tower the maps of all towers, [..., maps] to [..., towers * maps]."""
        x = self.concat(xs)
        if TOWER in self.axes:
            x = lax.all_gather(x, TOWER, axis=x.ndim - 1, tiled=True)
        return [x] * self.count

    def local_slice(self, x: jax.Array) -> jax.Array:
        """Take the local towers' part of a replicated array, along the last axis."""
        if TOWER not in self.axes:
            return x
        size = x.shape[-1] // lax.axis_size(TOWER)
        start = lax.axis_index(TOWER) * size
        return lax.dynamic_slice_in_dim(x, start, size, axis=x.ndim - 1)

    def sum(self, x: jax.Array) -> jax.Array:
        """All-reduce sum over "tower": the total of what the towers contribute."""
        return lax.psum(x, TOWER) if TOWER in self.axes else x

    def mean(self, x: jax.Array, *, replicated: bool) -> jax.Array:
        """All-reduce mean over "data", and over "tower" where `x` is replicated."""
        axes = [axis for axis in self.axes if axis == DATA or replicated]
        return lax.pmean(x, axes) if axes else x

    def examples(self, count: int) -> jax.Array:
        """Return the indices, in the global batch, of the `count` examples on this device."""
        indices = jnp.arange(count)
        return indices + count * lax.axis_index(DATA) if DATA in self.axes else indices


Forward = Callable[
    [Params, jax.Array, jax.Array | None, Towers], tuple[dict[str, jax.Array], Params]
]


def run_sharded(
    forward: Forward,
    params: Params,
    images: jax.Array,
    dropout_key: jax.Array | None,
    *,
    names: Sequence[str],
    architecture: Architecture,
    mesh: Mesh | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Run `forward`, written for the towers of one device, on global arrays.

    `params` are those of the layers that run. `images` may be the output of a layer instead.
    `forward` returns its towers' slices of the layers `names` and, given a key, the batch
    statistics of the batch normalizations that run. The result holds the global arrays of both.
    Without a mesh, or on a mesh of one device, one device runs all towers.
    """
    if mesh is None or mesh.size == 1:
        return forward(params, images, dropout_key, Towers(architecture.towers))
    towers = Towers(architecture.towers // _tower_axis_size(mesh, architecture), mesh.axis_names)
    _check_batch(mesh, images.shape[0])
    batch_spec = batch_sharding(mesh).spec
    infos = {info.name: info for info in architecture.layer_info()}

    def output_spec(name: str) -> P:
        if isinstance(infos[name].spec, Output):
            return batch_spec
        tower = TOWER if TOWER in mesh.axis_names else None
        return P(*batch_spec or [None], *[None] * (len(infos[name].output_shape) - 1), tower)

    all_specs = _param_specs(mesh, architecture)
    param_specs = {name: all_specs[name] for name in params}
    stats_specs = {
        info.stats_name: param_specs[info.stats_name]
        for info in infos.values()
        if info.stats_name in param_specs and dropout_key is not None
    }

    def on_device(params: Params, images: jax.Array, key: jax.Array | None):
        # Mark parameters as varying over "data", and images over "tower", for the gradients that
        # are written by hand: a device's gradient of the weights comes from its own images, and
        # its gradient of the images from its own towers.
        params = jax.tree.map(lambda leaf: _as_varying(leaf, DATA, mesh), params)
        return forward(params, _as_varying(images, TOWER, mesh), key, towers)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(param_specs, batch_spec, P()),
        out_specs=({name: output_spec(name) for name in names}, stats_specs),
    )(params, images, dropout_key)


def _as_varying(x: jax.Array, axis: str, mesh: Mesh) -> jax.Array:
    """Mark an array that is replicated along `axis` as one that may differ between its devices."""
    if axis not in mesh.axis_names:
        return x
    if hasattr(lax, "pcast"):
        return lax.pcast(x, axis, to="varying")
    return lax.pvary(x, axis)  # pyright: ignore[reportAttributeAccessIssue] - its name before 0.8


def _tower_axis_size(mesh: Mesh, architecture: Architecture) -> int:
    """Return the number of devices that share the towers. Raises ValueError if they cannot."""
    if unknown := [axis for axis in mesh.axis_names if axis not in (DATA, TOWER)]:
        raise ValueError(f"the mesh has an axis {unknown[0]!r}, unlike those of make_mesh")
    devices = mesh.shape.get(TOWER, 1)
    towers = architecture.towers
    if towers % devices:
        raise ValueError(
            f"{architecture.name} has {towers} tower{'s' * (towers > 1)}, "
            f"which cannot be divided among the {devices} devices of the mesh"
        )
    return devices


def _param_specs(mesh: Mesh, architecture: Architecture) -> Params:
    """Return how the mesh divides each parameter, a pytree like `Params` of PartitionSpecs.

    Outputs are divided over the towers; in the last layer, the inputs.
    """
    tower = TOWER if TOWER in mesh.axis_names else None

    def along_last_axis(shape: Shape) -> P:
        return P(*[None] * (len(shape) - 1), tower)

    specs: Params = {}  # `_make` takes specs in place of arrays
    for info in architecture.layer_info():
        if info.weight_shape is None or info.bias_shape is None:
            continue
        weights, biases = along_last_axis(info.weight_shape), along_last_axis(info.bias_shape)
        if isinstance(info.spec, Output):
            weights, biases = P(tower, None), P()
        elif info.spec.per_map and info.replicated_in:
            weights, biases = P(), P()
        specs[info.name] = Layer._make((weights, biases))
        if info.stats_name:
            specs[info.stats_name] = BatchStats._make((weights, biases))
    return specs


def param_shardings(mesh: Mesh, architecture: Architecture | str) -> Params:
    """Return the sharding of each parameter on the mesh, a pytree like `Params`."""
    specs = _param_specs(mesh, get(architecture))
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, P)
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: divided over "data" if the mesh has that axis."""
    return NamedSharding(mesh, P(DATA) if DATA in mesh.axis_names else P())


def num_batch_shards(mesh: Mesh) -> int:
    """Return the number of equal parts into which the mesh divides a batch."""
    return mesh.shape.get(DATA, 1)


def _check_batch(mesh: Mesh, count: int) -> None:
    """Raise ValueError if the mesh cannot divide a batch of `count` images."""
    shards = num_batch_shards(mesh)
    if count % shards:
        kind = "pairs of devices" if TOWER in mesh.axis_names else "devices"
        raise ValueError(f"a batch of {count} images cannot be divided among {shards} {kind}")


def local_batch_slice(mesh: Mesh, count: int) -> slice:
    """Return the rows of a batch of `count` that this process holds.

    Without a "data" axis, these are all rows.

    Raises:
      ValueError: a batch that the mesh cannot divide, or a mesh without a device of this process.
    """
    _check_batch(mesh, count)
    indices = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    ends = [rows[0].indices(count) for rows in indices if rows is not None]
    return slice(min(start for start, _, _ in ends), max(stop for _, stop, _ in ends))


def global_batch(rows: np.ndarray, mesh: Mesh, count: int) -> jax.Array:
    """Assemble a batch of `count` on the mesh from the rows that each process holds.

    Args:
      rows: the rows that `local_batch_slice` returns, [n, ...].
      mesh: from `make_mesh`.
      count: the size of the global batch, over all processes.

    Returns:
      [count, ...], with the sharding `batch_sharding(mesh)`.

    Raises:
      ValueError: a batch that the mesh cannot divide.
    """
    _check_batch(mesh, count)
    shape = (count, *rows.shape[1:])
    return jax.make_array_from_process_local_data(batch_sharding(mesh), rows, shape)
