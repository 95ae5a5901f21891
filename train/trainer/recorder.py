"""What a run does between its steps: metrics, evaluation, step decay, checkpoints."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from alexnet_jax import Params
from alexnet_jax.towers import global_batch, local_batch_slice, num_batch_shards

from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.metrics import MetricsLog
from ..runtime.progress import RunProgress
from ..steps.eval_step import evaluate, make_eval_step
from ..steps.schedules import Plateau, update_plateau
from ..steps.train_step import TrainState
from .build import Run
from .loss_monitor import ChanceLevelMonitor, Divergence

Callback = Callable[[int, dict[str, float]], object]
"""Takes a step or an epoch and its metrics; the run stops after it has returned True.

True may be Python's, NumPy's or JAX's. Any other result is ignored.
"""


class Recorder:
    """Records the steps of one run, and evaluates and saves it when that is due."""

    def __init__(
        self,
        run: Run,
        checkpoints: Checkpoints,
        log: MetricsLog | None,
        progress: RunProgress,
        *,
        state: TrainState,
        position: int,
        divergence: Divergence,
        on_step: Callback | None = None,
        on_epoch: Callback | None = None,
    ) -> None:
        """Take the parts of a run whose `state` has drawn `position` examples."""
        self.run, self.checkpoints, self.log, self.progress = run, checkpoints, log, progress
        self.start_step, self.start_position = int(state.step), position
        self.divergence = divergence
        self.on_step, self.on_epoch = on_step, on_epoch
        self._results: dict[str, float] = {}  # of the latest evaluation
        self._evaluated_step: int | None = None
        self.stop_requested = False
        """Whether a callback has asked for the end."""
        self._plateau: Plateau = jax.device_get(state.plateau)  # of the steps being run
        self._chance_level = ChanceLevelMonitor(len(run.data.class_names), run.steps_per_epoch)
        self._eval_step = make_eval_step(
            run.architecture, jnp.asarray(run.statistics.mean), run.mesh
        )
        self._all_finite = jax.jit(_all_finite)
        self._update_plateau = jax.jit(
            functools.partial(update_plateau, patience=run.config.recipe.patience)
        )

    def record(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Fetch the metrics of a step, write and show them; a loss that is not finite ends it."""
        values = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(values["loss"]):
            raise self.divergence.at(step, f"the loss is {values['loss']} at step {step}")
        rate = self.progress.step(step, values["loss"])
        if warning := self._chance_level.check(values["loss"]):
            self.progress.say(warning)
        if rate is not None:
            values["images_per_second"] = rate
        values["learning_rate"] = float(self.run.schedule.learning_rate(step - 1, self._plateau))
        values["epoch"] = step / self.run.steps_per_epoch
        self._write(step, values)
        if self.on_step is not None and _is_true(self.on_step(step, values)):
            self.stop_requested = True

    def is_due(self, step: int) -> bool:
        """Return whether the run is evaluated or saved after this step."""
        every = self.run.config.launch.save_steps
        return self._is_evaluated(step) or (every is not None and step % every == 0)

    def evaluate_and_save(self, step: int, state: TrainState) -> TrainState:
        """Evaluate after an epoch, and save. Returns the state with its plateau updated."""
        metrics: dict[str, float] = {}
        if self._is_evaluated(step):
            metrics = self._evaluate_and_report(step, state)
        state = self._step_decay(step, state, metrics)
        self.save(state, metrics)
        return state

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Save the state, unless it is no longer finite, which ends the run."""
        step = int(state.step)
        if not self._all_finite(state.params):
            what = f"the parameters are no longer finite after step {step}"
            raise self.divergence.at(step, what)
        drawn = self.start_position + (step - self.start_step) * self.run.config.recipe.batch_size
        evaluated = {"top1_error": metrics["test_top1_error"]} if metrics else None
        self.checkpoints.save(state, drawn, evaluated)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return `test_loss` (nats), `test_top1_error` and `test_top5_error` (fractions)."""
        config, mesh, test = self.run.config, self.run.mesh, self.run.data.test
        size = evaluation_batch_size(config.recipe.batch_size, len(test), num_batch_shards(mesh))
        batches = evaluation_batches(
            test,
            batch_size=size,
            threads=config.data.threads,
            prefetch=config.data.prefetch,
            rows=local_batch_slice(mesh, size),
        )
        eval_step = functools.partial(self._eval_step, state.params)
        [[results]] = evaluate([eval_step], ([self._with_labels(b, size)] for b in batches))
        return {f"test_{name}": value for name, value in results.rates().items()}

    def final_results(self, state: TrainState) -> dict[str, float]:
        """Return the metrics of the final state, evaluated now unless its step was evaluated."""
        step = int(state.step)
        return (
            self._results
            if step == self._evaluated_step
            else self._evaluate_and_report(step, state)
        )

    def _with_labels(self, batch: Batch, size: int) -> Any:
        """Return a batch on the devices of all processes, its labels known to each process."""
        batch_on_mesh = to_mesh(self.run, batch, size)
        labels = process_allgather(batch_on_mesh["label"], tiled=True)
        return batch_on_mesh | {"label": labels}

    def _ends_epoch(self, step: int) -> bool:
        size, count = self.run.config.recipe.batch_size, len(self.run.data.train)
        return step * size // count > (step - 1) * size // count

    def _is_evaluated(self, step: int) -> bool:
        return self._ends_epoch(step) or step == self.run.last_step

    def _write(self, step: int, values: dict[str, float]) -> None:
        if self.log is not None:
            self.log.write(step, values)

    def _evaluate_and_report(self, step: int, state: TrainState) -> dict[str, float]:
        metrics = self.evaluate(state)
        if not math.isfinite(metrics["test_loss"]):
            what = f"the test loss is {metrics['test_loss']} after step {step}"
            raise self.divergence.at(step, what)
        self._write(step, metrics)
        epoch = step * self.run.config.recipe.batch_size // len(self.run.data.train)
        error, loss = 100 * metrics["test_top1_error"], metrics["test_loss"]
        self.progress.say(f"epoch {epoch}  test error {error:.2f} %  test loss {loss:.4f}")
        self.progress.resume_clock()
        self._results, self._evaluated_step = metrics, step
        if self.on_epoch is not None and _is_true(self.on_epoch(epoch, metrics)):
            self.stop_requested = True
        return metrics

    def _step_decay(self, step: int, state: TrainState, metrics: dict[str, float]) -> TrainState:
        """Count the evaluation of an epoch, and say so if the learning rate is divided by ten.

        A last step in the middle of an epoch is skipped: a run that is extended from there must
        equal one that had the longer length from the start.
        """
        schedule = self.run.schedule
        if not schedule.on_plateau or not self._ends_epoch(step):
            return state
        plateau = self._update_plateau(state.plateau, metrics["test_top1_error"])
        before, self._plateau = self._plateau, jax.device_get(plateau)
        if self._plateau.cuts > before.cuts:
            rate = float(schedule.learning_rate(step, self._plateau))
            lowest = 100 * float(self._plateau.best)
            self.progress.say(
                f"learning rate {rate:.6g} from here: the test error has stopped improving, "
                f"its lowest was {lowest:.2f} %"
            )
        return dataclasses.replace(state, plateau=plateau)


def to_mesh(run: Run, batch: Any, size: int) -> Any:
    """Return a batch of `size` on the devices of all processes; each has read its own rows."""
    return {name: global_batch(rows, run.mesh, size) for name, rows in batch.items()}


def _is_true(result: object) -> bool:
    if isinstance(result, np.bool_ | np.ndarray | jax.Array):
        return result.dtype == np.bool_ and result.size == 1 and bool(result)
    return result is True


def _all_finite(params: Params) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
