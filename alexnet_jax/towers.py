"""The towers of one device, and a forward pass over the devices of a mesh.

Of the library, only this file, `shardings` and `mesh` have collectives, shardings and meshes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.architectures import get
from alexnet_jax.layer_specs import Output
from alexnet_jax.mesh import AxisNames, MeshAxes, mesh_axes
from alexnet_jax.params import BatchStats, Layer, Params
from alexnet_jax.shardings import as_shardings, param_specs, place, shared_on

LayerParams = TypeVar("LayerParams", Layer, BatchStats)


@dataclass(frozen=True)
class Towers:
    """The towers on one device, and how they communicate with those on other devices.

    Activations travel as a list with one array per local tower. After a `Gather` all entries of
    the list are the same array, which is replicated on every tower.
    """

    count: int
    """Towers on this device."""
    data_axes: tuple[str, ...] = ()
    """The axes of the mesh that divide the batch."""
    tower_axis: str | None = None
    """The axis of the mesh that divides the towers."""
    dense_axis: str | None = None
    """The axis of the mesh that divides the dense layers to come, and the batch before them."""
    divides_sums: bool = False
    """Whether a sum over towers leaves each device the rows of its own images alone."""

    def share_dense(
        self, xs: Sequence[jax.Array], first: LayerInfo
    ) -> tuple[list[jax.Array], "Towers"]:
        """Give each device all images of its group, for its own features of each dense layer.

        Args:
          xs: [images, features] of each local tower.
          first: the first of these layers.

        Returns:
          [images of the group, features] and, for the layers from `first` on, the devices of the
          group as towers.
        """
        assert self.dense_axis
        x = xs[0] if xs[0].shape[1:] == first.input_shape else self.concat(xs)
        if first.replicated_in:
            x = lax.all_gather(x, self.dense_axis, axis=0, tiled=True)
        else:
            x = lax.all_to_all(x, self.dense_axis, 1, 0, tiled=True)
        data_axes = tuple(axis for axis in self.data_axes if axis != self.dense_axis)
        return [x], Towers(1, data_axes, self.dense_axis, divides_sums=True)

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
        if self.tower_axis:
            x = lax.all_gather(x, self.tower_axis, axis=x.ndim - 1, tiled=True)
        return [x] * self.count

    def local_slice(self, x: jax.Array) -> jax.Array:
        """Take the local towers' part of a replicated array, along the last axis."""
        if not self.tower_axis:
            return x
        size = x.shape[-1] // lax.axis_size(self.tower_axis)
        start = lax.axis_index(self.tower_axis) * size
        return lax.dynamic_slice_in_dim(x, start, size, axis=x.ndim - 1)

    def sum(self, x: jax.Array) -> jax.Array:
        """Sum over towers what they contribute, [images, ...]."""
        if self.divides_sums and self.tower_axis:
            return lax.psum_scatter(x, self.tower_axis, scatter_dimension=0, tiled=True)
        return lax.psum(x, self.tower_axis) if self.tower_axis else x

    def mean(self, x: jax.Array, *, replicated: bool) -> jax.Array:
        """All-reduce mean over the parts of the batch, and over towers where `x` is replicated."""
        towers = (self.tower_axis,) if replicated and self.tower_axis else ()
        axes = self.data_axes + towers
        return lax.pmean(x, axes) if axes else x

    def examples(self, count: int) -> jax.Array:
        """Return the indices, in the global batch, of the `count` examples on this device."""
        indices = jnp.arange(count)
        return indices + count * lax.axis_index(self.data_axes) if self.data_axes else indices


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
    axes: MeshAxes | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Run `forward`, written for the towers of one device, on global arrays.

    `params` are those of the layers that run. `images` may be the output of a layer instead.
    `forward` returns its towers' slices of the layers `names` and, given a key, the batch
    statistics of the batch normalizations that run. The result holds the global arrays of both.
    Without a mesh, or on a mesh of one device, one device runs all towers.
    """
    if axes is None or axes.mesh.size == 1:
        return forward(params, images, dropout_key, Towers(architecture.towers))
    towers = Towers(_towers_per_device(axes, architecture), axes.batch, axes.tower, axes.dense)
    axes.check_batch(images.shape[0])
    infos = {info.name: info for info in architecture.layer_info()}
    shared = shared_on(axes, architecture)

    def output_spec(name: str) -> P:
        if isinstance(infos[name].spec, Output):
            return axes.batch_spec
        if name in shared:
            return axes.dense_spec
        inner = [None] * (len(infos[name].output_shape) - 1)
        return P(*axes.batch_spec or [None], *inner, axes.tower)

    all_specs = param_specs(axes, architecture)
    used_specs = {name: all_specs[name] for name in params}
    stats_specs = {
        info.stats_name: used_specs[info.stats_name]
        for info in infos.values()
        if info.stats_name in used_specs and dropout_key is not None
    }

    def on_device(params: Params, images: jax.Array, key: jax.Array | None):
        # Mark parameters as varying over the parts of the batch, and images over towers: the
        # gradients are summed once, and Winograd's convolution takes arrays that vary alike.
        params = jax.tree.map(
            lambda leaf, spec: _as_varying(leaf, tuple(a for a in axes.batch if a not in spec)),
            params,
            used_specs,
        )
        tower = (axes.tower,) if axes.tower else ()
        return forward(params, _as_varying(images, tower), key, towers)

    in_specs = (used_specs, axes.batch_spec, None if dropout_key is None else P())
    arguments = place(axes.mesh, (params, images, dropout_key), in_specs)
    return jax.shard_map(
        on_device,
        mesh=axes.mesh,
        in_specs=in_specs,
        out_specs=({name: output_spec(name) for name in names}, stats_specs),
    )(*arguments)


def _as_varying(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Mark an array that is replicated along axes as one that may differ between their devices."""
    if not axes:
        return x
    if hasattr(lax, "pcast"):
        return lax.pcast(x, axes, to="varying")
    return lax.pvary(x, axes)  # pyright: ignore[reportAttributeAccessIssue] - its name before 0.8


def _towers_per_device(axes: MeshAxes, architecture: Architecture) -> int:
    """Return the number of towers of each device. Raises ValueError if they cannot be divided."""
    devices, towers = axes.tower_devices, architecture.towers
    if towers % devices:
        raise ValueError(
            f"{architecture.name} has {towers} tower{'s' * (towers > 1)}, "
            f"which cannot be divided among the {devices} devices of the mesh"
        )
    return towers // devices


def param_shardings(
    mesh: Mesh, architecture: Architecture | str, *, axis_names: AxisNames | None = None
) -> Params:
    """Return the sharding of each parameter on the mesh, a pytree like `Params`.

    `axis_names` are those of `apply`.
    """
    return as_shardings(mesh, param_specs(mesh_axes(mesh, axis_names), get(architecture)))


def batch_sharding(mesh: Mesh, *, axis_names: AxisNames | None = None) -> NamedSharding:
    """Return the sharding of a batch: divided over "data" if the mesh has that axis.

    `axis_names` are those of `apply`.
    """
    return NamedSharding(mesh, mesh_axes(mesh, axis_names).batch_spec)


def num_batch_shards(mesh: Mesh) -> int:
    """Return the number of equal parts into which the mesh divides a batch."""
    return mesh_axes(mesh).batch_shards


def local_batch_slice(mesh: Mesh, count: int) -> slice:
    """Return the rows of a batch of `count` that this process holds.

    Without a "data" axis, these are all rows.

    Raises:
      ValueError: a batch that the mesh cannot divide, or a mesh without a device of this process.
    """
    mesh_axes(mesh).check_batch(count)
    indices = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    ends = [rows[0].indices(count) for rows in indices if rows is not None]
    return slice(min(start for start, _, _ in ends), max(stop for _, stop, _ in ends))


def global_batch(rows: Any, mesh: Mesh, count: int) -> Any:
    """Assemble a batch of `count` on the mesh from the rows that each process holds.

    All arrays of a pytree are put on the devices by one call.

    Args:
      rows: the rows that `local_batch_slice` returns, [n, ...], an array or a pytree of them.
      mesh: from `make_mesh`.
      count: the size of the global batch, over all processes.

    Returns:
      [count, ...], with the sharding `batch_sharding(mesh)`, in a pytree like `rows`.

    Raises:
      ValueError: a batch that the mesh cannot divide.
    """
    mesh_axes(mesh).check_batch(count)
    shapes = jax.tree.map(lambda x: (count, *x.shape[1:]), rows)
    return jax.make_array_from_process_local_data(batch_sharding(mesh), rows, shapes)
