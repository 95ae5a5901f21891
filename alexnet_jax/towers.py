"""Towers and devices: the only file that knows meshes, axes, collectives and shardings.

Axis names: "tower" divides the kernels of every layer, one tower (or several) to a device;
"data" divides the batch over groups of devices that each hold all towers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from alexnet_jax.architecture import Architecture, Output
from alexnet_jax.layers import Layer, Moments, Params

DATA, TOWER = "data", "tower"
Cut = TypeVar("Cut", Layer, Moments)


def make_mesh(devices: int = 2) -> Mesh:
    """Return a mesh over the first `devices` devices: one tower on each of every two (§3.2).

    One device holds both towers; 4, 8, ... devices repeat the pair and divide the batch.
    Raises ValueError if there are too few devices, or an odd number above one is asked for.
    """
    if devices < 1 or (devices > 1 and devices % 2):
        raise ValueError(f"two towers need 1 device or an even number of them, not {devices}")
    found = jax.devices()
    if len(found) < devices:
        platform = found[0].platform.upper()
        raise ValueError(f"{devices} devices were asked for, and JAX finds {len(found)} {platform}")
    # Only axes that divide something: XLA runs a collective over an axis of one device, too.
    axes = {DATA: devices // 2, TOWER: 2} if devices > 2 else {TOWER: devices}
    types = (AxisType.Auto,) * len(axes)
    return jax.make_mesh(
        tuple(axes.values()), tuple(axes), axis_types=types, devices=found[:devices]
    )


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
    their batch normalisations; the result has the whole arrays of both. Without a mesh, or on a
    mesh of one device, that one holds all towers.
    """
    if mesh is None or mesh.size == 1:
        return forward(params, images, dropout_key, Towers(architecture.towers))
    if TOWER not in mesh.axis_names:
        raise ValueError(f"the mesh has no axis {TOWER!r}, as those of make_mesh have")
    if architecture.towers % mesh.shape[TOWER]:
        raise ValueError(
            f"{architecture.name} has {architecture.towers} tower, "
            f"which cannot be divided among the {mesh.shape[TOWER]} devices of the mesh"
        )
    if images.shape[0] % mesh.shape.get(DATA, 1):
        raise ValueError(
            f"a batch of {images.shape[0]} images cannot be divided "
            f"among {mesh.shape[DATA]} pairs of devices"
        )
    here = Towers(architecture.towers // mesh.shape[TOWER], mesh.axis_names)
    batch = batch_sharding(mesh).spec
    layers = {step.name: step for step in architecture.steps()}

    def activity_spec(name: str) -> P:
        if isinstance(layers[name].layer, Output):
            return batch
        return P(*batch or [None], *[None] * (len(layers[name].outputs) - 1), TOWER)

    specs = _param_specs(architecture)
    batch_norms = [] if dropout_key is None else [step.running for step in layers.values()]
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


def _param_specs(architecture: Architecture) -> dict[str, Layer]:
    """How the mesh divides the parameters: outputs over towers; of the last layer, the inputs."""
    of: Any = Layer  # holding specs in place of arrays
    moments: Any = Moments
    specs = {}
    for step in architecture.steps():
        if isinstance(step.layer, Output):
            specs[step.name] = of(P(TOWER, None), P())
        elif step.running:
            share = P() if step.whole_in else P(TOWER)
            specs[step.name], specs[step.running] = of(share, share), moments(share, share)
        elif step.weights:
            specs[step.name] = of(P(*[None] * (len(step.weights) - 1), TOWER), P(TOWER))
    return specs


def param_shardings(mesh: Mesh, architecture: Architecture) -> dict[str, Layer]:
    """Return a pytree like the parameters that says where each of them lies on the mesh."""
    specs = _param_specs(architecture)
    is_spec = lambda leaf: isinstance(leaf, P)  # noqa: E731
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=is_spec)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return where a batch lies on the mesh: divided over "data", if there is that axis."""
    return NamedSharding(mesh, P(DATA) if DATA in mesh.axis_names else P())
