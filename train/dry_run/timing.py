"""Timing of a run's compiled training step; nothing is written."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
from jax.sharding import Mesh

from alexnet_jax import Architecture
from alexnet_jax.towers import global_batch

from ..config.config import Config
from ..data.examples import DataSet
from ..data.pipeline import Batch
from ..data.stored_size import stored_size
from ..data.synthetic import synthetic_statistics
from ..trainer import build, fine_tuning
from ..trainer.build import Run
from ..trainer.loop import Metrics, train_loop
from ..trainer.read_ahead import ReadAhead


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
        build.make_optimizer(config.recipe, architecture),
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

    def step(self, batch: Batch) -> float:
        """Train one step on this batch. Returns the loss."""
        self.state, metrics = self.program(self.state, batch)
        return float(metrics["loss"])

    def seconds(
        self, steps: int, limit: float, on_step: Callable[[int, float], None]
    ) -> list[float]:
        """Return the seconds that each step takes in the loop of a run, which reads ahead.

        Args:
          steps: how many to time, after a first one that is not timed, because it touches its
            memory.
          limit: seconds after which no further step should start. The first one is timed if it
            alone takes so long.
          on_step: takes the number of steps so far and the seconds of the latest one.
        """
        begin = time.perf_counter()
        [first] = self.run_steps(range(1, 2), begin + limit, on_step)
        left = begin + limit - time.perf_counter()
        if left <= 0:
            return [first]
        count = min(steps, math.ceil(left / first))  # more of them could be dispatched before
        return self.run_steps(range(2, count + 2), begin + limit, on_step)

    def run_steps(
        self, steps: range, until: float, on_step: Callable[[int, float], None]
    ) -> list[float]:
        """Run the loop, to the time `until` at most. Returns the seconds from end to end of steps.

        A thread sees when a step ends: the loop reads its metrics later.
        """
        ends: list[Future[float]] = []
        start = time.perf_counter()

        def dispatch(state: build.TrainState, batch: Any) -> tuple[build.TrainState, Metrics]:
            state, metrics = self.program(state, batch)
            ends.append(watch.submit(_time_of_end, metrics))
            return state, metrics

        def seconds_of(number: int) -> float:
            return ends[number].result() - (ends[number - 1].result() if number else start)

        mesh, size = self.run.mesh, self.run.config.recipe.batch_size
        on_mesh = (global_batch(batch, mesh, size) for batch in self._batches)
        with ThreadPoolExecutor(1) as watch, ReadAhead(on_mesh) as batches:
            self.state, _ = train_loop(
                dispatch,
                self.state,
                batches,
                steps,
                record=lambda step, _: on_step(step, seconds_of(step - steps[0])),
                is_due=lambda step: step == steps[-1],
                evaluate_and_save=lambda _, state: state,
                save=lambda _: None,
                poll_stop=lambda: 1 if time.perf_counter() >= until else None,
            )
        return [seconds_of(number) for number in range(len(ends))]


def _time_of_end(metrics: Metrics) -> float:
    jax.block_until_ready(metrics)
    return time.perf_counter()
