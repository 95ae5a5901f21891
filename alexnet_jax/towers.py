"""Towers and devices: the only file that knows meshes, axes, collectives and shardings.

Axis names: "tower" divides the kernels of every layer, one tower (or several) to a device;
"data" divides the batch over groups of devices that each hold all towers. The devices may be those
of several processes (`jax.distributed`): each has its own rows of a batch.
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

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import Output
from alexnet_jax.params import BatchStats, Layer, Params

DATA, TOWER = "data", "tower"
Cut = TypeVar("Cut", Layer, BatchStats)


def make_mesh(devices: int = 2, towers: int = 2) -> Mesh:
    """Return a mesh of `devices` devices: one of the net's towers on each of every two (§3.2).

    One device holds all towers; with two of them 4, 6, 8, ... devices repeat the pair and divide
    the batch, with one any number does. Of several processes each gives as many devices.

    Raises ValueError if there are too few devices, or towers or processes cannot share so many.
    """
    if devices < 1 or (devices > 1 and devices % towers):
        raise ValueError(f"{towers} towers need 1 device or a multiple of {towers}, not {devices}")
    found = jax.devices()
    if len(found) < devices:
        platform = found[0].platform.upper()
        raise ValueError(f"{devices} devices were asked for, and JAX finds {len(found)} {platform}")
    # Only axes that divide something: XLA runs a collective over an axis of one device, too.
    across = towers if devices > 1 else 1
    sizes = {DATA: devices // across, TOWER: across}
    axes = {axis: size for axis, size in sizes.items() if size > 1} or {TOWER: 1}
    types = (AxisType.Auto,) * len(axes)
    return jax.make_mesh(
        tuple(axes.values()), tuple(axes), axis_types=types, devices=_of_each(found, devices)
    )


def _of_each(found: Sequence[Any], devices: int) -> list[Any]:
    """The first devices of each process, as many of one as of another."""
    of_process: dict[int, list[Any]] = defaultdict(list)
    for device in found:
        of_process[device.process_index].append(device)
    share, rest = divmod(devices, len(of_process))
    if rest:
        raise ValueError(f"{devices} devices cannot be divided among {len(of_process)} processes")
    fewest = min(map(len, of_process.values()))
    if fewest < share:
        raise ValueError(
            f"{devices} devices are {share} of each process, and one of them has {fewest}"
        )
    return [device for own in of_process.values() for device in own[:share]]


@dataclass(frozen=True)
class Towers:
    """The towers that one device holds, and how they meet the others.

    Activities travel as a list with one array for each tower held here. Where towers have met,
    the list holds the same whole array again and again.
    """

    held: int
    axes: tuple[str, ...] = ()  # of the mesh that divides the arrays; none on one device

    def cut(self, layer: Cut) -> list[Cut]:
        """The parameters of each tower held here: equal parts of the last axis."""
        return [type(layer)(*part) for part in zip(*map(self.split, layer), strict=True)]

    def split(self, x: jax.Array) -> list[jax.Array]:
        """The part of each tower held here: equal parts of the last axis."""
        return jnp.split(x, self.held, axis=-1) if self.held > 1 else [x]

    def join(self, xs: Sequence[jax.Array]) -> jax.Array:
        """What the towers held here have between them, side by side on the last axis."""
        return jnp.concatenate(xs, axis=-1) if self.held > 1 else xs[0]

    def gather(self, xs: Sequence[jax.Array]) -> list[jax.Array]:
        """Let the towers meet: each sees the maps of all of them, [..., c] becomes [..., t c]."""
        x = self.join(xs)
        if TOWER in self.axes:
            x = lax.all_gather(x, TOWER, axis=x.ndim - 1, tiled=True)
        return [x] * self.held

    def own(self, whole: jax.Array) -> jax.Array:
        """The part of a whole array that belongs to the towers held here, on the last axis."""
        if TOWER not in self.axes:
            return whole
        size = whole.shape[-1] // lax.axis_size(TOWER)
        start = lax.axis_index(TOWER) * size
        return lax.dynamic_slice_in_dim(whole, start, size, axis=whole.ndim - 1)

    def sum(self, x: jax.Array) -> jax.Array:
        """The sum of what the towers of all devices contribute, the same on each."""
        return lax.psum(x, TOWER) if TOWER in self.axes else x

    def mean(self, x: jax.Array, *, whole: bool) -> jax.Array:
        """The mean over the devices that share the batch, and over those whose `x` is whole."""
        axes = [axis for axis in self.axes if axis == DATA or whole]
        return lax.pmean(x, axes) if axes else x

    def examples(self, count: int) -> jax.Array:
        """The indices, in the global batch, of the `count` examples held here."""
        here = jnp.arange(count)
        return here + count * lax.axis_index(DATA) if DATA in self.axes else here


Forward = Callable[
    [Params, jax.Array, jax.Array | None, Towers], tuple[dict[str, jax.Array], Params]
]


def run(
    forward: Forward,
    params: Params,
    images: jax.Array,
    dropout_key: jax.Array | None,
    *,
    names: Sequence[str],
    architecture: Architecture,
    mesh: Mesh | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Run `forward`, written for the towers that one device holds, on whole arrays.

    `forward` returns what its towers have of the layers `names`, and with a key the moments of
    their batch normalizations; the result has the whole arrays of both. Without a mesh, or on a
    mesh of one device, that one holds all towers.
    """
    if mesh is None or mesh.size == 1:
        return forward(params, images, dropout_key, Towers(architecture.towers))
    across = _tower_axis(mesh, architecture)
    _check_batch(mesh, images.shape[0])
    here = Towers(architecture.towers // across, mesh.axis_names)
    batch = batch_sharding(mesh).spec
    layers = {info.name: info for info in architecture.layer_info()}

    def activity_spec(name: str) -> P:
        if isinstance(layers[name].spec, Output):
            return batch
        tower = TOWER if TOWER in mesh.axis_names else None
        return P(*batch or [None], *[None] * (len(layers[name].output_shape) - 1), tower)

    specs = _param_specs(mesh, architecture)
    batch_norms = [] if dropout_key is None else [info.running for info in layers.values()]
    moments = {name: specs[name] for name in batch_norms if name}

    def on_device(params: Params, images: jax.Array, key: jax.Array | None):
        # Said here once, for the gradients written by hand: what each device has of the weights'
        # gradient comes from its own images, and of the images' gradient from its own towers.
        params = jax.tree.map(lambda leaf: _varying(leaf, DATA, mesh), params)
        return forward(params, _varying(images, TOWER, mesh), key, here)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(specs, batch, P()),
        out_specs=({name: activity_spec(name) for name in names}, moments),
    )(params, images, dropout_key)


def _varying(x: jax.Array, axis: str, mesh: Mesh) -> jax.Array:
    """Let an array that is the same on all devices along `axis` count as each device's own."""
    if axis not in mesh.axis_names:
        return x
    if hasattr(lax, "pcast"):
        return lax.pcast(x, axis, to="varying")
    return lax.pvary(x, axis)  # pyright: ignore[reportAttributeAccessIssue] - its name before 0.8


def _tower_axis(mesh: Mesh, architecture: Architecture) -> int:
    """Return among how many devices the towers are divided. Raises ValueError if they cannot be."""
    if unknown := [axis for axis in mesh.axis_names if axis not in (DATA, TOWER)]:
        raise ValueError(f"the mesh has an axis {unknown[0]!r}, unlike those of make_mesh")
    across = mesh.shape.get(TOWER, 1)
    if architecture.towers % across:
        raise ValueError(
            f"{architecture.name} has {architecture.towers} tower, "
            f"which cannot be divided among the {across} devices of the mesh"
        )
    return across


def _param_specs(mesh: Mesh, architecture: Architecture) -> dict[str, Layer]:
    """How the mesh divides the parameters: outputs over towers; of the last layer, the inputs."""
    of: Any = Layer  # holding specs in place of arrays
    moments: Any = BatchStats
    tower = TOWER if TOWER in mesh.axis_names else None
    specs = {}
    for info in architecture.layer_info():
        if isinstance(info.spec, Output):
            specs[info.name] = of(P(tower, None), P())
        elif info.running:
            share = P() if info.replicated_in else P(tower)
            specs[info.name], specs[info.running] = of(share, share), moments(share, share)
        elif info.weight_shape:
            specs[info.name] = of(P(*[None] * (len(info.weight_shape) - 1), tower), P(tower))
    return specs


def param_shardings(mesh: Mesh, architecture: Architecture) -> dict[str, Layer]:
    """Return a pytree like the parameters that says where each of them lies on the mesh."""
    specs = _param_specs(mesh, architecture)
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, P)
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return where a batch lies on the mesh: divided over "data", if there is that axis."""
    return NamedSharding(mesh, P(DATA) if DATA in mesh.axis_names else P())


def num_batch_shards(mesh: Mesh) -> int:
    """Return into how many equal parts the mesh divides a batch."""
    return mesh.shape.get(DATA, 1)


def _check_batch(mesh: Mesh, count: int) -> None:
    """Raise ValueError if the mesh cannot divide a batch of `count` images."""
    parts = num_batch_shards(mesh)
    if count % parts:
        kind = "pairs of devices" if TOWER in mesh.axis_names else "devices"
        raise ValueError(f"a batch of {count} images cannot be divided among {parts} {kind}")


def local_batch_slice(mesh: Mesh, count: int) -> slice:
    """Return which rows of a batch of `count` the devices of this process hold, all without "data".

    Raises ValueError if the batch cannot be divided, or if this process has no device in the mesh.
    """
    _check_batch(mesh, count)
    held = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    ends = [rows[0].indices(count) for rows in held if rows is not None]
    return slice(min(start for start, _, _ in ends), max(stop for _, stop, _ in ends))


def global_batch(rows: np.ndarray, mesh: Mesh, count: int) -> jax.Array:
    """Return a batch of `count` on the mesh, of which this process has its own rows.

    Args:
      rows: those that `local_batch_slice` says, [n, ...].
      mesh: from `make_mesh`.
      count: the rows of the whole batch, over all processes.

    Returns:
      [count, ...]; divided as `batch_sharding` says.
    """
    first = local_batch_slice(mesh, count).start

    def of_device(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        start, stop, _ = index[0].indices(count)
        return rows[start - first : stop - first]

    shape = (count, *rows.shape[1:])
    return jax.make_array_from_callback(shape, batch_sharding(mesh), of_device)
