"""What one process has been told, all of them get to know, after the same step."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


class StopConsensus:
    """Lets all processes end after the same step, whichever of them has caught a signal."""

    def __init__(self, mesh: Mesh) -> None:
        """Let those agree whose devices are in the mesh."""
        self._alone = jax.process_count() == 1
        self._of_each_device = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._highest = jax.jit(jnp.max, out_shardings=everywhere)
        self._size = mesh.size
        self._unread: jax.Array | None = None

    def on(self, number: int | None) -> int | None:
        """Return the highest number that any process brought, None if there was none.

        With other processes it is what they brought the time before, so that nobody waits. All
        must call it equally often.
        """
        if self._alone:
            return number
        before = 0 if self._unread is None else int(self._unread)
        mine = np.array([number or 0], np.int32)
        numbers = jax.make_array_from_callback((self._size,), self._of_each_device, lambda _: mine)
        self._unread = self._highest(numbers)
        return before or None
