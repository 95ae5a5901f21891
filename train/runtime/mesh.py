"""The mesh of a run: which devices hold which tower, dense layer and part of a batch."""

from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture
from alexnet_jax.dense_layers import shared_widths
from alexnet_jax.towers import local_batch_slice

from ..config.config import Layout
from ..config.errors import BadInput

GROUP = 8
"""Devices that share dense layers, at most: those that the fastest links of a machine join.

In a group of n each device sends n - 1 parts of the activations, and between groups 1/n of the
gradients: for `PAPER` at 128 images per device, groups of 4 and 8 send the least.
"""


def make_mesh(
    architecture: Architecture,
    devices: int,
    batch_size: int | None = None,
    *,
    layout: Layout = "tower",
) -> Mesh:
    """Return the mesh of a network on `devices` devices, laid out as `Launch.layout` says.

    Raises BadInput if they cannot hold the network's towers, cannot share its dense layers or,
    where it is given, cannot divide a batch of `batch_size` images.
    """
    try:
        if layout == "dense" and devices > 1:
            mesh = alexnet_jax.make_mesh(devices, dense=dense_group(architecture, devices))
        else:
            towers = architecture.towers if layout == "tower" else 1
            mesh = alexnet_jax.make_mesh(devices, towers)
    except ValueError as error:
        raise BadInput(f"`devices` {devices}: {architecture.name}: {error}") from None
    if batch_size is not None:
        try:
            local_batch_slice(mesh, batch_size)
        except ValueError as error:
            raise BadInput(f"`batch_size` {batch_size}: {error}") from None
    return mesh


def dense_group(architecture: Architecture, devices: int) -> int:
    """Return how many devices share dense layers: the most, up to `GROUP`, that divide them.

    Raises ValueError if no number of devices does.
    """
    widths = shared_widths(architecture)
    for group in range(GROUP, 1, -1):
        if devices % group == 0 and not any(width % group for width in widths):
            return group
    listed = ", ".join(f"{width:,}" for width in dict.fromkeys(widths))
    raise ValueError(
        f"no group of 2 to {GROUP} divides both {devices} devices "
        f"and dense layers of {listed} features"
    )
