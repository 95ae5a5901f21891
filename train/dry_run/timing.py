"""Timing of a run's compiled training step; nothing is written."""

import time

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from alexnet_jax import Architecture
from alexnet_jax.towers import num_batch_shards

from ..config.config import Config
from ..data.examples import DataSet
from ..data.pipeline import Batch, evaluation_batch_size
from ..data.stored_size import stored_size
from ..data.synthetic import synthetic_statistics
from ..steps.eval_step import make_eval_step
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
        self.program = build.compile_step(run, self.state)
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

    def seconds(self, steps: int) -> list[float]:
        """Return the seconds that each of `steps` steps takes, batches read as they come."""
        self.step()  # not counted: the first step touches its memory
        taken = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            taken.append(time.perf_counter() - start)
        return taken

    def seconds_of_evaluation(self) -> float:
        """Return the seconds of an evaluation, extrapolated from one batch; 0 without test images.

        The batch is read before, so that decoding is not counted.
        """
        run, count = self.run, len(self.run.data.test)
        if not count:
            return 0.0
        shards, image = num_batch_shards(run.mesh), self.batch["image"]
        size = evaluation_batch_size(run.config.recipe.batch_size, count, shards)
        images = np.resize(image, (size, *image.shape[1:]))
        eval_step = make_eval_step(run.architecture, jnp.asarray(run.statistics.mean), run.mesh)
        elapsed = 0.0
        for _ in range(2):  # the first call compiles
            start = time.perf_counter()
            eval_step(self.state.params, images).block_until_ready()
            elapsed = time.perf_counter() - start
        return elapsed * -(-count // size)
