"""A run from its first step to its last: `train(config)`."""

import functools
import math
import signal
from dataclasses import dataclass
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture, Params
from train import signals
from train.checkpoints import Checkpoints
from train.command import Ended
from train.config import BadInput, Config
from train.data.pipeline import evaluation_batches, train_batches
from train.data.sources import DataSet, open_data
from train.evaluate import evaluate, make_evaluation_step
from train.figures import draw_curves
from train.metrics import MetricsLog
from train.optimizer import cut_by_ten, sgd
from train.progress import RunProgress
from train.run_folder import mean_of, net_of, open_run, stored_size
from train.step import TrainState, init_state, make_train_step, state_shardings


def train(config: Config) -> dict[str, float]:
    """Train, or go on with a run, to its last step; report, draw and keep what came of it.

    Returns the final `test_loss` (nats), `test_top1_error`, `test_top5_error` (fractions).
    Raises BadInput on what the user can mend, Ended if the run stops before its last step.
    """
    architecture, data = open_net_and_data(config)
    config = open_run(config, data)
    assert config.run_dir is not None
    mesh = alexnet_jax.make_mesh(config.devices)
    run = Run(config, config.run_dir, architecture, data, mesh)

    with Checkpoints(run.folder) as checkpoints:
        state, position = run.start(checkpoints)
        print(run.heading(int(state.step)), flush=True)
        with MetricsLog(run.folder, int(state.step)) as log:
            results = Loop(run, checkpoints, log).run(state, position)
        best = checkpoints.best_step()
        print(_report(results, len(data.test)))
        print(f"curves      {draw_curves(run.folder)}")
        last = checkpoints.path(run.last_step)
        print(f"checkpoint  {last}  (lowest test error: step {best})")
    return results


def open_net_and_data(config: Config) -> tuple[Architecture, DataSet]:
    """Return the net, with an output for each class, and the data at its size."""
    architecture = net_of(config)
    data = open_data(config.data, config.data_kind, stored_size(config, architecture))
    return architecture.with_classes(len(data.class_names)), data


@dataclass(frozen=True)
class Run:
    """What stays fixed during a run."""

    config: Config
    folder: Path
    architecture: Architecture
    data: DataSet
    mesh: Mesh

    @property
    def steps_per_epoch(self) -> float:
        """Batches in one cycle through the training images; the last one reaches into the next."""
        return len(self.data.train) / self.config.batch_size

    @property
    def last_step(self) -> int:
        """The number of steps of the whole run."""
        images = round(self.config.epochs * len(self.data.train))
        return self.config.steps or -(-images // self.config.batch_size)

    @functools.cached_property
    def mean(self) -> jax.Array:
        """The mean training image, [size, size, 3]."""
        return jnp.asarray(mean_of(self.folder, self.data))

    @functools.cached_property
    def schedule(self) -> optax.Schedule:
        """The learning rate by step."""
        cuts = [round(epoch * self.steps_per_epoch) for epoch in self.config.cut_epochs]
        return cut_by_ten(self.config.learning_rate, cuts)

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """The rule of section 5 with the run's numbers."""
        config = self.config
        return sgd(self.schedule, momentum=config.momentum, weight_decay=config.weight_decay)

    def start(self, checkpoints: Checkpoints) -> tuple[TrainState, int]:
        """Return the state of the latest checkpoint, or else the initial one, and the position."""
        init_key, _ = jax.random.split(jax.random.key(self.config.seed))
        init = functools.partial(init_state, init_key, self.architecture, self.optimizer)
        shardings = state_shardings(self.architecture, self.optimizer, self.mesh)
        step = checkpoints.latest_step()
        if step is None:
            return jax.jit(init, out_shardings=shardings)(), 0
        if step > self.last_step:
            raise BadInput(
                f"{self.folder} stands at step {step}, behind {self.last_step}, the last"
            )
        return checkpoints.restore(step, jax.eval_shape(init), shardings)

    def heading(self, step: int) -> str:
        """Return a line that says what is about to be run."""
        net, config = self.architecture, self.config
        devices = f"{config.devices} {self.mesh.devices.flat[0].platform} device"
        count = sum(layer.parameters for layer in net.steps())
        begin = f"from step {step} of {self.last_step}" if step else f"{self.last_step} steps"
        return (
            f"{net.name} ({count:,} parameters, {net.towers} towers) on {devices}"
            f"{'s' * (config.devices > 1)}, {len(self.data.train):,} images in batches of "
            f"{config.batch_size}, {begin}, in {self.folder}"
        )


class Loop:
    """The steps of a run: trains, and now and then evaluates and saves."""

    def __init__(self, run: Run, checkpoints: Checkpoints, log: MetricsLog) -> None:
        """Compile nothing yet; the first step does."""
        _, step_key = jax.random.split(jax.random.key(run.config.seed))
        self.run_, self.checkpoints, self.log = run, checkpoints, log
        self.train_step = make_train_step(
            run.architecture,
            run.optimizer,
            run.mean,
            key=step_key,
            flip=run.config.flip,
            mesh=run.mesh,
        )
        self.evaluation_step = make_evaluation_step(run.architecture, run.mean, run.mesh)
        self._finite = jax.jit(_all_finite)

    def run(self, state: TrainState, position: int) -> dict[str, float]:
        """Run to the last step. Returns the final test metrics."""
        run, first = self.run_, int(state.step)
        if first == run.last_step:
            return self._test(state)
        batches = self._batches(position)
        progress = RunProgress(first, run.last_step, run.config.batch_size)
        results: dict[str, float] = {}
        self._unread: tuple[int, dict[str, jax.Array]] | None = None
        step = first
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
                    if interruption.signal and step < run.last_step:
                        self._stop(step, interruption.signal)
        except BadInput:  # a picture that cannot be decoded, say; what was learnt is kept
            self._save(state, position + int(state.step) - first, {})
            raise
        finally:
            batches.close()
        return results

    def _batches(self, position: int) -> grain.DatasetIterator:
        config = self.run_.config
        return train_batches(
            self.run_.data.train,
            batch_size=config.batch_size,
            seed=config.seed,
            position=position,
            threads=config.threads,
            prefetch=config.prefetch,
        )

    def _ends_epoch(self, step: int) -> bool:
        size, count = self.run_.config.batch_size, len(self.run_.data.train)
        passed = step * size // count > (step - 1) * size // count
        return passed or step == self.run_.last_step

    def _is_due(self, step: int) -> bool:
        every = self.run_.config.save_steps
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
        values["learning_rate"] = np.asarray(self.run_.schedule(step - 1)).item()
        values["epoch"] = step / self.run_.steps_per_epoch
        self.log.write(step, values)

    def _evaluate(self, step: int, state: TrainState, progress: RunProgress) -> dict[str, float]:
        """The test metrics after an epoch, shown and written down; none in between."""
        if not self._ends_epoch(step):
            return {}
        results = self._test(state)
        self.log.write(step, results)
        epoch = int(step / self.run_.steps_per_epoch)
        error, loss = 100 * results["test_top1_error"], results["test_loss"]
        progress.say(f"epoch {epoch}  test error {error:.2f} %  test loss {loss:.4f}")
        progress.resume_clock()
        return results

    def _test(self, state: TrainState) -> dict[str, float]:
        config, test = self.run_.config, self.run_.data.test
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
            f"python -m train.main --run-dir {self.run_.folder} --resume",
            128 + number,
        )


def _all_finite(params: Params) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))


def _report(results: dict[str, float], count: int) -> str:
    top1, top5 = (100 * (1 - results[f"test_top{k}_error"]) for k in (1, 5))
    return (
        f"test accuracy {top1:.2f} %  top-5 {top5:.2f} %  "
        f"(test error {100 - top1:.2f} %, {100 - top5:.2f} %, on {count:,} images)"
    )
