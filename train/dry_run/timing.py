"""A run's step of training, compiled ahead and tried, to say what it takes; nothing is kept."""

import time

import numpy as np

from alexnet_jax.towers import num_batch_shards

from ..data.pipeline import Batch, evaluation_batch_size
from ..steps.eval_step import make_eval_step
from ..trainer.build import Run


class StepTimer:
    """The very step that the run would take, from its initial state on."""

    def __init__(self, run: Run) -> None:
        """Compile the step, and draw a first batch for it.

        Raises BadInput if the batch is too large for the devices, or a picture is bad.
        """
        self.run = run
        self.state = run.initial_state()
        self.program = run.compiled_step(self.state)
        # One batch ahead: of a store of them a few steps would not show how long reading takes.
        self._batches = run.batches(0, prefetch=1)
        self.batch: Batch = next(self._batches)

    def __enter__(self) -> "StepTimer":
        """Return the trial, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Read no more; steps on a batch that is given may go on."""
        self._batches.close()

    def step(self, batch: Batch | None = None) -> float:
        """Train one step, on the next batch if none is given. Returns the loss."""
        self.state, metrics = self.program(self.state, batch or next(self._batches))
        return float(metrics["loss"])

    def seconds(self, steps: int) -> list[float]:
        """Return how long each of so many steps takes, on batches as they come."""
        self.step()  # the first touches the memory, and does not count
        taken = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            taken.append(time.perf_counter() - start)
        return taken

    def seconds_of_evaluation(self) -> float:
        """Return how long all test images take, by one batch that has been read; 0 without any."""
        count = len(self.run.data.test)
        if not count:
            return 0.0
        parts, image = num_batch_shards(self.run.mesh), self.batch["image"]
        size = evaluation_batch_size(self.run.config.recipe.batch_size, count, parts)
        images = np.resize(image, (size, *image.shape[1:]))
        scorer = make_eval_step(self.run.architecture, self.run.mean, self.run.mesh)
        taken = 0.0
        for _ in range(2):  # the first compiles
            start = time.perf_counter()
            scorer(self.state.params, images).block_until_ready()
            taken = time.perf_counter() - start
        return taken * -(-count // size)
