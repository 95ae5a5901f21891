"""The mesh of a run: which devices hold which tower and which part of a batch."""

from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture
from alexnet_jax.towers import local_batch_slice

from ..config.errors import BadInput


def make_mesh(architecture: Architecture, devices: int, batch_size: int | None = None) -> Mesh:
    """Return the mesh of a network on `devices` devices.

    Raises BadInput if they cannot hold the network's towers or, where it is given, cannot divide a
    batch of `batch_size` images.
    """
    try:
        mesh = alexnet_jax.make_mesh(devices, architecture.towers)
    except ValueError as error:
        raise BadInput(f"`devices` {devices}: {architecture.name}: {error}") from None
    if batch_size is not None:
        try:
            local_batch_slice(mesh, batch_size)
        except ValueError as error:
            raise BadInput(f"`batch_size` {batch_size}: {error}") from None
    return mesh
