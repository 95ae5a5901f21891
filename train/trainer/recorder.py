"""What a run does between its steps: metrics, evaluation, step decay, checkpoints."""

import contextlib
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

from ..config.errors import BadInput, Ended
from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.metrics import MetricsLog, read_metrics
from ..run_dir.open_folder import OpenFolder
from ..runtime.cores import decoding_threads
from ..runtime.progress import RunProgress
from ..steps.eval_step import evaluate, make_eval_step
from ..steps.schedules import update_plateau
from ..steps.train_step import TrainState
from .build import Run
from .epoch_means import EpochMeans, first_step
from .loss_monitor import ChanceLevelMonitor, Divergence
from .rescue import save_elsewhere

Callback = Callable[[int, dict[str, float]], object]
"""Takes a step or an epoch and its metrics; the run stops after it has returned True.

True may be Python's, NumPy's or JAX's. Any other result is ignored.
"""

_PARTS = {"train": "training", "val": "validation", "test": "test"}
"""What messages call the parts of the data, by their names in metrics."""


class Recorder:
    """Records the steps of one run, and evaluates and saves it when that is due."""

    def __init__(
        self,
        run: Run,
        folder: OpenFolder,
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
        self.folder = folder
        self.start_step, self.start_position = int(state.step), position
        self.divergence = divergence
        self.on_step, self.on_epoch = on_step, on_epoch
        self._results: dict[str, float] = {}  # of the latest epoch
        self._evaluated_step: int | None = None
        self.stop_requested = False
        """Whether the run ends early: a callback has asked for it, or `until_error` is reached."""
        self._selection = "test" if run.data.val is None else "val"  # chooses the best checkpoint
        self._chance_level = ChanceLevelMonitor(len(run.data.class_names), run.steps_per_epoch)
        self._eval_step = make_eval_step(
            run.architecture,
            jnp.asarray(run.statistics.mean),
            run.mesh,
            deterministic=run.config.launch.deterministic,
        )
        self._rows = [
            row for row in read_metrics(checkpoints.folder.parent) if row["step"] <= self.start_step
        ]
        first = first_step(self.start_step, run.config.recipe.batch_size, len(run.data.train))
        self._means = EpochMeans(row for row in self._rows if row["step"] >= first)
        self._all_finite = jax.jit(_all_finite)
        self._update_plateau = jax.jit(
            functools.partial(update_plateau, patience=run.config.recipe.patience)
        )

    def record(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Fetch the metrics of a step, write and show them; a loss that is not finite ends the run.

        Nothing is computed on the devices: it would wait for the steps that are dispatched.
        """
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not math.isfinite(values["loss"]):
            raise self.divergence.at(step, f"the loss is {values['loss']} at step {step}")
        rate = self.progress.step(step, values["loss"])
        if warning := self._chance_level.check(values["loss"]):
            self.progress.say(warning)
        if rate is not None:
            values["images_per_second"] = rate
        values["epoch"] = step / self.run.steps_per_epoch
        self._write(step, values)
        self._means.add(values)
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
            try:
                metrics = self._evaluate_and_report(step, state)
            except Exception as error:
                # The loop saves at bad input, and a run that has diverged has nothing to save.
                if jax.process_count() == 1 and not isinstance(error, BadInput | Ended):
                    self.save(state)
                raise
        state = self._step_decay(step, state, metrics)
        self.save(state, metrics)
        return state

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Save the state, unless it is no longer finite, which ends the run."""
        step = int(state.step)
        if not self._all_finite(state.params):
            what = f"the parameters are no longer finite after step {step}"
            raise self.divergence.at(step, what)
        drawn = self._position(step)
        evaluated = {"top1_error": metrics[f"{self._selection}_top1_error"]} if metrics else None
        self._in_folder(state, lambda: self.checkpoints.save(state, drawn, evaluated), evaluated)

    def wait(self, state: TrainState) -> None:
        """Wait until the last saved state is on the disk. Takes it, in case the folder is gone."""
        self._in_folder(state, self.checkpoints.wait)

    def _in_folder(
        self,
        state: TrainState,
        write: Callable[[], object],
        evaluated: dict[str, float] | None = None,
    ) -> None:
        """Write into the folder of the run. If that is gone, the state is saved elsewhere."""
        try:
            if self.folder.is_intact():
                write()
        except Exception:
            if self.folder.is_intact():
                raise
        if not self.folder.is_intact():
            with contextlib.suppress(Exception):  # a save that had begun may make folders again
                self.checkpoints.wait()
            position = self._position(int(state.step))
            raise save_elsewhere(self.run, self.folder, state, position, evaluated)

    def _position(self, step: int) -> int:
        """Return the number of examples drawn until the end of a step."""
        return self.start_position + (step - self.start_step) * self.run.config.recipe.batch_size

    def evaluate(self, state: TrainState, part: str) -> dict[str, float]:
        """Return `loss` (nats), `top1_error` and `top5_error` on "val" or "test", with its name.

        Raises Ended if the loss is not finite.
        """
        config, mesh = self.run.config, self.run.mesh
        source = self.run.data.test if part == "test" else self.run.data.selection
        size = evaluation_batch_size(config.recipe.batch_size, len(source), num_batch_shards(mesh))
        batches = evaluation_batches(
            source,
            batch_size=size,
            threads=decoding_threads(config.data.threads),
            prefetch=config.data.prefetch,
            rows=local_batch_slice(mesh, size),
        )
        eval_step = functools.partial(self._eval_step, state.params)
        [[results]] = evaluate([eval_step], ([self._with_labels(b, size)] for b in batches))
        rates = results.rates()
        if not math.isfinite(rates["loss"]):
            step, name = int(state.step), _PARTS[part]
            raise self.divergence.at(step, f"the {name} loss is {rates['loss']} after step {step}")
        return {f"{part}_{name}": value for name, value in rates.items()}

    def final_results(self, state: TrainState) -> dict[str, float]:
        """Return the metrics of the final state, and its figures on the test images.

        The test images of a run that has validation images are looked at here alone.
        """
        step = int(state.step)
        if step == self._evaluated_step:
            results = self._results
        elif step == self.start_step:  # nothing was left to train
            results = self.evaluate(state, self._selection)
        else:
            results = self._evaluate_and_report(step, state)
        if self._selection == "test":
            return results
        if self.run.data.validation == "test":
            test = {
                name.replace("val_", "test_"): x for name, x in results.items() if "val_" in name
            }
        else:
            test = self.evaluate(state, "test")
        if not any(row["step"] == step and "test_loss" in row for row in self._rows):
            self._write(step, test)
        return results | test

    def _with_labels(self, batch: Batch, size: int) -> Any:
        """Return a batch on the devices of all processes, its labels known to each process."""
        batch_on_mesh = global_batch(batch, self.run.mesh, size)
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
        part = self._selection
        metrics = self._means.take() | self.evaluate(state, part)
        self._write(step, metrics)
        epoch = step * self.run.config.recipe.batch_size // len(self.run.data.train)
        figures = [_figures(metrics, one) for one in ("train", part) if f"{one}_loss" in metrics]
        self.progress.say(f"epoch {epoch}  {'  '.join(figures)}")
        self.progress.resume_clock()
        self._results, self._evaluated_step = metrics, step
        goal, error = self.run.config.recipe.until_error, metrics.get("train_top1_error")
        if goal is not None and error is not None and error <= goal:
            self.stop_requested = True
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
        error = metrics[f"{self._selection}_top1_error"]
        plateau = self._update_plateau(state.plateau, error)
        before, now = jax.device_get((state.plateau, plateau))
        if now.cuts > before.cuts:
            rate = float(schedule.learning_rate(step, now))
            lowest = 100 * float(now.best)
            self.progress.say(
                f"learning rate {rate:.6g} from here: the {_PARTS[self._selection]} error has "
                f"stopped improving, its lowest was {lowest:.2f} %"
            )
        return dataclasses.replace(state, plateau=plateau)


def _figures(metrics: dict[str, float], part: str) -> str:
    """Return loss and accuracy on a part of the data, for the line of an epoch."""
    loss, accuracy = metrics[f"{part}_loss"], 100 * (1 - metrics[f"{part}_top1_error"])
    return f"{_PARTS[part]} loss {loss:.4f}  accuracy {accuracy:.2f} %"


def _is_true(result: object) -> bool:
    if isinstance(result, np.bool_ | np.ndarray | jax.Array):
        return result.dtype == np.bool_ and result.size == 1 and bool(result)
    return result is True


def _all_finite(params: Params) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
