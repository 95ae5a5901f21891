"""Meshes of devices: which devices, and what the axes of a mesh divide.

"tower" divides the kernels of every layer, one tower (or several) per device; "data" divides the
batch over groups of devices that each hold all towers. "dense" divides the batch up to the last
dense layers, and from there on these layers (Krizhevsky 2014, arXiv:1404.5997). The devices may
belong to several processes (`jax.distributed`): each process holds its own rows of a batch.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh
from jax.sharding import PartitionSpec as P

from alexnet_jax.layer_fields import whole_number

DATA, TOWER, DENSE = KINDS = "data", "tower", "dense"
AxisNames = Mapping[str, str | Sequence[str]]
"""The mesh's own names of the axes "data", "tower" and "dense". Several axes can divide "data"."""


def make_mesh(devices: int = 2, towers: int = 2, *, dense: int = 1) -> Mesh:
    """Return a mesh of `devices` devices, each pair with one tower per device (§3.2).

    One device holds all towers. A network of two towers also takes 4, 6, 8, ... devices: they
    repeat the pair and divide the batch. A network of one tower takes any number. Every process
    contributes the same number of devices.

    Args:
      devices: their number, over all processes.
      towers: of the network; 1 divides the batch alone, and each device holds all towers.
      dense: devices in a group that divides the dense layers. If it is above 1, each device holds
        all towers of the other layers, and all devices divide their batch.

    Raises:
      ValueError: a number that is no whole number above 0; fewer devices than asked for, or a
        number that the towers, the groups or the processes cannot divide.
    """
    devices = whole_number(devices, "devices")
    towers, dense = whole_number(towers, "towers"), whole_number(dense, "dense")
    if dense > 1 and devices % dense:
        raise ValueError(f"{devices} devices cannot be divided into groups of {dense}")
    if devices > 1 and dense == 1 and devices % towers:
        raise ValueError(f"{towers} towers need 1 device or a multiple of {towers}, not {devices}")
    available = jax.devices()
    if len(available) < devices:
        platform = available[0].platform.upper()
        raise ValueError(
            f"{devices} devices were requested, and JAX finds {len(available)} {platform}"
        )
    # Only axes that divide something: XLA runs a collective over an axis of one device, too.
    kind, group = (DENSE, dense) if dense > 1 else (TOWER, towers if devices > 1 else 1)
    sizes = {DATA: devices // group, kind: group}
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
class MeshAxes:
    """The axes of a mesh by what they divide. The other axes divide nothing."""

    mesh: Mesh
    data: tuple[str, ...]
    """They divide the batch in all layers, the first one into the largest parts."""
    tower: str | None
    """It divides the towers."""
    dense: str | None
    """It divides the last dense layers and, before them, the batch."""

    @property
    def batch(self) -> tuple[str, ...]:
        """The axes that divide a batch of images."""
        return (*self.data, self.dense) if self.dense else self.data

    @property
    def batch_spec(self) -> P:
        """How the first axis of a batch is divided."""
        return _along_first_axis(self.batch)

    @property
    def dense_spec(self) -> P:
        """How the features of the last dense layers are divided, [batch, features]."""
        return P(*_along_first_axis(self.data) or [None], self.dense)

    @property
    def batch_shards(self) -> int:
        """The number of equal parts into which a batch is divided."""
        return math.prod(self.mesh.shape[axis] for axis in self.batch)

    @property
    def tower_devices(self) -> int:
        """The number of devices that share the towers."""
        return self.mesh.shape[self.tower] if self.tower else 1

    @property
    def dense_devices(self) -> int:
        """The number of devices that share the last dense layers."""
        return self.mesh.shape[self.dense] if self.dense else 1

    def check_batch(self, count: int) -> None:
        """Raise ValueError if the mesh cannot divide a batch of `count` images."""
        if count % self.batch_shards:
            kinds = {1: "devices", 2: "pairs of devices"}
            kind = kinds.get(self.tower_devices, f"groups of {self.tower_devices} devices")
            raise ValueError(
                f"a batch of {count} images cannot be divided among {self.batch_shards} {kind}"
            )


def mesh_axes(mesh: Mesh, axis_names: AxisNames | None = None) -> MeshAxes:
    """Return what each axis of a mesh divides: "data", "tower" or "dense".

    Args:
      mesh: from `make_mesh`, or any other.
      axis_names: the names in `mesh` of "data", "tower" or "dense"; if None, those are their names,
        and the mesh has no other axes.

    Raises:
      ValueError: names that the mesh does not have, or that are of nothing that an axis divides;
        both "tower" and "dense".
    """
    if not isinstance(mesh, Mesh | AbstractMesh):
        raise ValueError(f"`mesh` must be a mesh, as make_mesh(2) returns it, not {mesh!r}")
    if axis_names is None:
        for axis in mesh.axis_names:
            if axis not in KINDS:
                raise ValueError(
                    f"the mesh has an axis {axis!r}: say what it divides, as in "
                    f"axis_names={{'data': {axis!r}}}, {{'tower': {axis!r}}} or "
                    f"{{'dense': {axis!r}}}"
                )
        axis_names = {axis: axis for axis in mesh.axis_names}
    if not isinstance(axis_names, Mapping):
        raise ValueError(f"`axis_names` must be as {{'data': 'batch'}}, not {axis_names!r}")
    for kind in axis_names:
        if kind not in KINDS:
            raise ValueError(f"`axis_names` has keys 'data', 'tower' and 'dense', not {kind!r}")
    data, tower, dense = (_as_tuple(axis_names.get(kind, ())) for kind in KINDS)
    if len(tower + dense) > 1:
        raise ValueError(
            f"one axis divides the towers or the dense layers, not {', '.join(tower + dense)}"
        )
    names = data + tower + dense
    for axis in names:
        if axis not in mesh.axis_names:
            others = ", ".join(map(str, mesh.axis_names))
            raise ValueError(f"the mesh has no axis {axis!r}, but {others}")
    if len({*names}) < len(names):
        raise ValueError(f"`axis_names` has an axis twice: {', '.join(names)}")
    return MeshAxes(mesh, data, *(axes[0] if axes else None for axes in (tower, dense)))


def _along_first_axis(names: tuple[str, ...]) -> P:
    return P(names[0] if len(names) == 1 else names) if names else P()


def _as_tuple(names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
