"""The steps of a run: trains, and now and then evaluates and saves."""

import math
import signal

import grain
import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax import Params
from train import signals
from train.checkpoints import Checkpoints
from train.command import Ended
from train.config import BadInput
from train.data.pipeline import evaluation_batches, train_batches
from train.evaluate import evaluate, make_evaluation_step
from train.metrics import MetricsLog
from train.progress import RunProgress
from train.run import Run
from train.step import TrainState, make_train_step


class Loop:
    """The steps of a run: trains, and now and then evaluates and saves."""

    def __init__(self, run: Run, checkpoints: Checkpoints, log: MetricsLog) -> None:
        """Compile nothing yet; the first step does."""
        _, step_key = jax.random.split(jax.random.key(run.config.seed))
        self.run, self.checkpoints, self.log = run, checkpoints, log
        self.train_step = make_train_step(
            run.architecture,
            run.optimizer,
            run.mean,
            key=step_key,
            flip=run.config.flip,
            mesh=run.mesh,
            precision=run.config.precision,
        )
        self.evaluation_step = make_evaluation_step(run.architecture, run.mean, run.mesh)
        self._finite = jax.jit(_all_finite)

    def to_last_step(self, state: TrainState, position: int) -> dict[str, float]:
        """Run to the last step. Returns the final test metrics."""
        run, first = self.run, int(state.step)
        if first == run.last_step:
            return self._test(state)
        batches = self._batches(position)
        progress = RunProgress(first, run.last_step, run.config.batch_size)
        results: dict[str, float] = {}
        self._unread: tuple[int, dict[str, jax.Array]] | None = None
        try:
            with progress, signals.deferred() as interruption:
                for step in range(first + 1, run.last_step + 1):
                    state, metrics = self.train_step(state, next(batches))
                    self._read(progress)  # of the step before, so that the device never waits
                    self._unread = (step, metrics)
                    if interruption.signal or self._is_due(step):
                        self._read(progress)
                        results = self._evaluate(step, state, progress)
                        self._save(state, position + step - first, results)
                        # The signal may have come during the evaluation, too.
                        if interruption.signal and step < run.last_step:
                            self._stop(step, interruption.signal)
        except BadInput:  # a picture that cannot be decoded, say; what was learnt is kept
            self._read(progress)
            self._save(state, position + int(state.step) - first, {})
            raise
        finally:
            batches.close()
        return results

    def _batches(self, position: int) -> grain.DatasetIterator:
        config = self.run.config
        return train_batches(
            self.run.data.train,
            batch_size=config.batch_size,
            seed=config.seed,
            position=position,
            threads=config.threads,
            prefetch=config.prefetch,
        )

    def _ends_epoch(self, step: int) -> bool:
        size, count = self.run.config.batch_size, len(self.run.data.train)
        passed = step * size // count > (step - 1) * size // count
        return passed or step == self.run.last_step

    def _is_due(self, step: int) -> bool:
        every = self.run.config.save_steps
        return self._ends_epoch(step) or (every is not None and step % every == 0)

    def _read(self, progress: RunProgress) -> None:
        """Fetch the metrics of the step before, write them down, stop if they are not finite."""
        if self._unread is None:
            return
        step, metrics = self._unread
        self._unread = None
        values = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(values["loss"]):
            raise self._diverged(f"the loss is {values['loss']} at step {step}")
        rate = progress.step(step, values["loss"])
        values |= {} if rate is None else {"images_per_second": rate}
        values["learning_rate"] = np.asarray(self.run.schedule(step - 1)).item()
        values["epoch"] = step / self.run.steps_per_epoch
        self.log.write(step, values)

    def _evaluate(self, step: int, state: TrainState, progress: RunProgress) -> dict[str, float]:
        """The test metrics after an epoch, shown and written down; none in between."""
        if not self._ends_epoch(step):
            return {}
        results = self._test(state)
        self.log.write(step, results)
        epoch = int(step / self.run.steps_per_epoch)
        error, loss = 100 * results["test_top1_error"], results["test_loss"]
        progress.say(f"epoch {epoch}  test error {error:.2f} %  test loss {loss:.4f}")
        progress.resume_clock()
        return results

    def _test(self, state: TrainState) -> dict[str, float]:
        config, test = self.run.config, self.run.data.test
        size = min(config.batch_size, len(test))
        batches = evaluation_batches(
            test, batch_size=size, threads=config.threads, prefetch=config.prefetch
        )
        totals = evaluate(self.evaluation_step, state.params, batches, size)
        return {f"test_{name}": totals[name] for name in ("loss", "top1_error", "top5_error")}

    def _save(self, state: TrainState, position: int, results: dict[str, float]) -> None:
        if not self._finite(state.params):
            raise self._diverged(f"the parameters are no longer finite after step {state.step}")
        evaluated = {"top1_error": results["test_top1_error"]} if results else None
        self.checkpoints.save(state, position, evaluated)

    def _diverged(self, what: str) -> Ended:
        self.checkpoints.wait()
        kept = self.checkpoints.latest_step()
        where = (
            "no checkpoint was kept"
            if kept is None
            else (f"the last good checkpoint is {self.checkpoints.path(kept)}")
        )
        return Ended(
            f"stopped: {what}; {where}; a new run with a lower --learning-rate may help", 1
        )

    def _stop(self, step: int, number: int) -> None:
        self.checkpoints.wait()
        name = signal.Signals(number).name
        raise Ended(
            f"stopped by {name} after step {step}, saved; go on with: "
            f"python -m train.main --run-dir {self.run.folder} --resume",
            128 + number,
        )


def _all_finite(params: Params) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
