"""Timing of a run's compiled training step; nothing is written."""

import time
from collections.abc import Callable

from jax.sharding import Mesh

from alexnet_jax import Architecture

from ..config.config import Config
from ..data.examples import DataSet
from ..data.pipeline import Batch
from ..data.stored_size import stored_size
from ..data.synthetic import synthetic_statistics
from ..trainer import build, fine_tuning
from ..trainer.build import Run


def synthetic_run(config: Config, architecture: Architecture, data: DataSet, mesh: Mesh) -> Run:
    """Return a run whose image statistics are synthetic: they need no pass over the images."""
    frozen = fine_tuning.frozen_layers(config, architecture)
    return Run(
        config,
        architecture,
        data,
        mesh,
        synthetic_statistics(stored_size(config, architecture)),
        build.make_schedule(config.recipe, len(data.train), frozen),
        build.make_optimizer(config.recipe),
    )


class StepTimer:
    """Times the training step that the run would take, from its initial state on."""

    def __init__(self, run: Run) -> None:
        """Compile the step, and read a first batch for it.

        Raises BadInput if the batch is too large for the devices, or an image cannot be decoded.
        """
        self.run = run
        self.state = build.make_initial_state(run)
        start = time.perf_counter()
        self.program = build.compile_step(run, self.state)
        self.compile_seconds = time.perf_counter() - start
        # Prefetch one batch only; a full buffer would hide the loader's time.
        self._batches = build.make_batches(run, 0, prefetch=1)
        self.batch: Batch = next(self._batches)

    def __enter__(self) -> "StepTimer":
        """Return the timer, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Read no more batches; `step` still takes a given one."""
        self._batches.close()

    def step(self, batch: Batch | None = None) -> float:
        """Train one step, on the next batch unless one is given. Returns the loss."""
        self.state, metrics = self.program(self.state, batch or next(self._batches))
        return float(metrics["loss"])

    def seconds(
        self, steps: int, limit: float, on_step: Callable[[int, float], object] | None = None
    ) -> list[float]:
        """Return the seconds that each step takes, batches read as they come.

        Args:
          steps: how many to time, after a first one that is not timed, because it touches its
            memory.
          limit: seconds after which no further step starts. The first one is timed if it alone
            takes so long.
          on_step: takes the number of steps so far and the seconds of the latest one.
        """
        taken: list[float] = []
        begin = time.perf_counter()
        for number in range(steps + 1):
            start = time.perf_counter()
            self.step()
            end = time.perf_counter()
            is_last = end - begin >= limit
            if number or is_last:
                taken.append(end - start)
            if on_step is not None:
                on_step(number + 1, end - start)
            if is_last:
                break
        return taken
