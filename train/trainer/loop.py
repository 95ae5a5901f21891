"""The steps of a run: trains, and now and then evaluates and saves."""

import functools
import math
import signal
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.multihost_utils import process_allgather

from alexnet_jax import Params
from alexnet_jax.towers import global_batch, local_batch_slice, num_batch_shards

from ..config.config import COMMAND
from ..config.errors import BadInput, Ended
from ..data.pipeline import Batch, evaluation_batch_size, evaluation_batches
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.metrics import MetricsLog
from ..runtime import device_memory, stop_signal
from ..runtime.agreement import StopConsensus
from ..runtime.progress import RunProgress
from ..steps.eval_step import evaluate, make_eval_step
from ..steps.schedules import Plateau, update_plateau
from ..steps.train_step import TrainState
from .build import Run
from .diverged import note_batch
from .loss_monitor import StuckLoss


class Loop:
    """The steps of a run: trains, and now and then evaluates and saves."""

    def __init__(self, run: Run, checkpoints: Checkpoints, log: MetricsLog | None) -> None:
        """Compile nothing yet; the first step does. Without a log nothing is written or shown."""
        self.run, self.checkpoints, self.log = run, checkpoints, log
        self.scorer = make_eval_step(run.architecture, run.mean, run.mesh)
        self._agreement = StopConsensus(run.mesh)
        self._finite = jax.jit(_all_finite)
        self._stuck = StuckLoss(len(run.data.class_names), run.steps_per_epoch)
        self._judge = jax.jit(
            functools.partial(update_plateau, patience=run.config.recipe.patience)
        )

    def to_last_step(self, state: TrainState, position: int) -> dict[str, float]:
        """Run to the last step, from example number `position` on. Returns the final metrics."""
        run, first = self.run, int(state.step)
        size = run.config.recipe.batch_size
        if first == run.last_step:
            return self._test(state)
        train_step = run.compiled_step(state)
        batches = run.batches(position)
        self._batch_before = position // size - first - 1  # plus the step: the number of its batch
        progress = RunProgress(first, run.last_step, size, shown=self.log is not None)
        results: dict[str, float] = {}
        self._unread: tuple[int, dict[str, jax.Array]] | None = None
        self._plateau: Plateau = jax.device_get(state.plateau)  # that of the steps being run
        try:
            with progress, stop_signal.deferred() as interruption:
                for step in range(first + 1, run.last_step + 1):
                    state, metrics = train_step(state, self._whole(next(batches), size))
                    self._read(progress)  # of the step before, so that the device never waits
                    self._unread = (step, metrics)
                    asked = self._agreement.on(interruption.signal)
                    if asked or self._is_due(step):
                        self._read(progress)
                        results = self._evaluate(step, state, progress)
                        state = self._cut_on_plateau(step, state, results, progress)
                        self._save(state, position + (step - first) * size, results)
                        # The signal may have come during the evaluation, too.
                        asked = asked or self._agreement.on(interruption.signal)
                        if asked and step < run.last_step:
                            self._stop(step, asked)
        except BadInput:  # a picture that cannot be decoded, say; what was learned is kept
            if jax.process_count() == 1:  # the others would have to save, too
                self._read(progress)
                self._save(state, position + (int(state.step) - first) * size, {})
            raise
        except jax.errors.JaxRuntimeError as error:
            if device_memory.is_out_of_memory(error):
                raise self._out_of_memory() from None
            raise
        finally:
            batches.close()
        return results

    def _whole(self, batch: Any, size: int) -> Any:
        """A batch on the devices of all processes, each of which has read its own rows."""
        mesh = self.run.mesh
        return {name: global_batch(rows, mesh, size) for name, rows in batch.items()}

    def _known(self, batch: Batch, size: int) -> Batch:
        """The same with labels that every process knows."""
        whole = self._whole(batch, size)
        whole["label"] = process_allgather(whole["label"], tiled=True)
        return whole

    def _write(self, step: int, values: dict[str, float]) -> None:
        if self.log is not None:
            self.log.write(step, values)

    def _ends_epoch(self, step: int) -> bool:
        size, count = self.run.config.recipe.batch_size, len(self.run.data.train)
        return step * size // count > (step - 1) * size // count

    def _is_evaluated(self, step: int) -> bool:
        return self._ends_epoch(step) or step == self.run.last_step

    def _is_due(self, step: int) -> bool:
        every = self.run.config.launch.save_steps
        return self._is_evaluated(step) or (every is not None and step % every == 0)

    def _read(self, progress: RunProgress) -> None:
        """Fetch the metrics of the step before, write them down, stop if they are not finite."""
        if self._unread is None:
            return
        step, metrics = self._unread
        self._unread = None
        values = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(values["loss"]):
            raise self._diverged(f"the loss is {values['loss']} at step {step}", step)
        rate = progress.step(step, values["loss"])
        if warning := self._stuck.after(values["loss"]):
            progress.say(warning)
        values |= {} if rate is None else {"images_per_second": rate}
        values["learning_rate"] = float(self.run.schedule.learning_rate(step - 1, self._plateau))
        values["epoch"] = step / self.run.steps_per_epoch
        self._write(step, values)

    def _evaluate(self, step: int, state: TrainState, progress: RunProgress) -> dict[str, float]:
        """The test metrics after an epoch, shown and written down; none in between."""
        if not self._is_evaluated(step):
            return {}
        results = self._test(state)
        if not math.isfinite(results["test_loss"]):
            raise self._diverged(f"the test loss is {results['test_loss']} after step {step}", step)
        self._write(step, results)
        epoch = int(step / self.run.steps_per_epoch)
        error, loss = 100 * results["test_top1_error"], results["test_loss"]
        progress.say(f"epoch {epoch}  test error {error:.2f} %  test loss {loss:.4f}")
        progress.resume_clock()
        return results

    def _cut_on_plateau(
        self, step: int, state: TrainState, results: dict[str, float], progress: RunProgress
    ) -> TrainState:
        """Count an epoch's evaluation, and say so if the learning rate is cut.

        The evaluation at a last step within an epoch does not count: a run that goes on from there
        is to be the same as one that was always as long.
        """
        schedule = self.run.schedule
        if not schedule.on_plateau or not self._ends_epoch(step):
            return state
        plateau = self._judge(state.plateau, results["test_top1_error"])
        before, self._plateau = self._plateau, jax.device_get(plateau)
        if self._plateau.cuts > before.cuts:
            rate = float(schedule.learning_rate(step, self._plateau))
            progress.say(
                f"learning rate {rate:.6g} from here: the test error has stopped improving, "
                f"its lowest was {100 * float(self._plateau.best):.2f} %"
            )
        return state.replace(plateau=plateau)  # pyright: ignore[reportAttributeAccessIssue]

    def _test(self, state: TrainState) -> dict[str, float]:
        config, test = self.run.config, self.run.data.test
        size = evaluation_batch_size(
            config.recipe.batch_size, len(test), num_batch_shards(self.run.mesh)
        )
        batches = evaluation_batches(
            test,
            batch_size=size,
            threads=config.data.threads,
            prefetch=config.data.prefetch,
            rows=local_batch_slice(self.run.mesh, size),
        )
        scorer = functools.partial(self.scorer, state.params)
        [[outcomes]] = evaluate([scorer], ([self._known(batch, size)] for batch in batches))
        return {f"test_{name}": rate for name, rate in outcomes.rates().items()}

    def _save(self, state: TrainState, position: int, results: dict[str, float]) -> None:
        if not self._finite(state.params):
            step = int(state.step)
            raise self._diverged(f"the parameters are no longer finite after step {step}", step)
        evaluated = {"top1_error": results["test_top1_error"]} if results else None
        self.checkpoints.save(state, position, evaluated)

    def _diverged(self, what: str, step: int) -> Ended:
        batch = self._batch_before + step
        listed = note_batch(self.run, step, batch, what)
        return Ended(
            f"stopped: {what}, of batch {batch}, whose images are listed in {listed}; "
            f"{self._last_good()}; a new run with a lower --learning-rate may help",
            1,
        )

    def _last_good(self) -> str:
        self.checkpoints.wait()
        kept = self.checkpoints.latest_step()
        if kept is None:
            return "no checkpoint was kept"
        return f"the last good checkpoint is {self.checkpoints.path(kept)}"

    def _out_of_memory(self) -> Ended:
        size = self.run.config.recipe.batch_size
        parts = num_batch_shards(self.run.mesh)
        less = parts * max(1, size // parts // 2)
        return Ended(
            f"stopped: a device has no memory left at --batch-size {size}; something else may take "
            f"it up, or a new run with --batch-size {less} would help; "
            f"{self._last_good()}",
            1,
        )

    def _stop(self, step: int, number: int) -> None:
        self.checkpoints.wait()
        name = signal.Signals(number).name
        raise Ended(
            f"stopped by {name} after step {step}, saved; go on with: "
            f"{COMMAND} --run-dir {self.run.folder} --resume",
            128 + number,
        )


def _all_finite(params: Params) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
