"""What stays fixed during a run: its net, data, mesh, schedule and optimizer."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from alexnet_jax import Architecture
from alexnet_jax.towers import local_batch_slice, num_batch_shards

from ..config.config import Config
from ..config.errors import BadInput
from ..data.dataset import DataSet, open_data
from ..data.image_statistics import ImageStatistics
from ..data.pipeline import train_batches
from ..data.skip_corrupt import SkipCorrupt
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import get_architecture, load_or_measure_statistics, stored_size
from ..runtime import device_memory
from ..steps import schedules
from ..steps.augment import NOISES, PCAColorNoise
from ..steps.optimizers import OPTIMIZERS
from ..steps.schedules import Schedule
from ..steps.train_step import (
    TrainState,
    TrainStep,
    compile_train_step,
    init_state,
    make_train_step,
    state_shardings,
)
from .fine_tuning import frozen_layers


def open_net_and_data(config: Config) -> tuple[Architecture, DataSet]:
    """Return the net, with an output for each class, and the data at its size."""
    architecture = get_architecture(config)
    data = open_data(
        config.data.path,
        config.data.kind,
        stored_size(config, architecture),
        held_out=config.data.held_out,
        seed=config.recipe.seed,
    )
    data = dataclasses.replace(data, train=SkipCorrupt(data.train, config.data.bad_images))
    return architecture.with_classes(len(data.class_names)), data


@dataclass(frozen=True)
class Run:
    """What stays fixed during a run."""

    config: Config
    folder: Path
    architecture: Architecture
    data: DataSet
    mesh: Mesh
    statistics: ImageStatistics | None = None
    """Of the training images; those that the folder keeps if None."""

    @property
    def steps_per_epoch(self) -> float:
        """Batches in one cycle through the training images; the last one reaches into the next."""
        return len(self.data.train) / self.config.recipe.batch_size

    @property
    def last_step(self) -> int:
        """The number of steps of the whole run."""
        images = round(self.config.recipe.epochs * len(self.data.train))
        return self.config.recipe.steps or -(-images // self.config.recipe.batch_size)

    @functools.cached_property
    def _statistics(self) -> ImageStatistics:
        return self.statistics or load_or_measure_statistics(
            self.folder, self.data, mean=self.config.recipe.mean
        )

    @functools.cached_property
    def mean(self) -> jax.Array:
        """What is subtracted from each image, [size, size, 3]."""
        return jnp.asarray(self._statistics.mean)

    @functools.cached_property
    def noise(self) -> PCAColorNoise | None:
        """The color noise, if there is any."""
        config, found = self.config, self._statistics
        if config.recipe.pca_color == "none":
            return None
        variances, colors = (
            jnp.asarray(x, jnp.float32) for x in (found.variances, found.components)
        )
        noise = NOISES[config.recipe.pca_color](variances, colors)
        if config.recipe.pca_color_until is None:
            return noise
        return noise._replace(until=round(config.recipe.pca_color_until * self.steps_per_epoch))

    @functools.cached_property
    def schedule(self) -> Schedule:
        """The learning rates by step."""
        config = self.config
        larger = config.recipe.batch_size / (config.recipe.base_batch or config.recipe.batch_size)
        rate = config.recipe.learning_rate * larger
        warm_up = {
            "warm_up": round(config.recipe.warmup_epochs * self.steps_per_epoch),
            "warm_up_from": 1 / larger,
        }
        match config.recipe.schedule:
            case "plateau":
                plateau = schedules.by_plateau(rate, config.recipe.bias_rate)
                return dataclasses.replace(plateau, **warm_up)
            case "cuts":
                rows = schedules.cuts(rate, config.recipe.cut_epochs, config.recipe.bias_rate)
            case "original":
                rows = schedules.original(rate)
            case "dexp":
                rows = schedules.dexp(rate, config.recipe.epochs)
        by_epochs = schedules.by_epochs(rows, self.steps_per_epoch)
        return dataclasses.replace(by_epochs, **warm_up)

    @functools.cached_property
    def learning(self) -> Schedule:
        """The schedule, under which the layers of --freeze learn nothing."""
        frozen = frozen_layers(self.config, self.architecture)
        return dataclasses.replace(self.schedule, frozen=frozen)

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformationExtraArgs:
        """The rule that the configuration names, with the run's numbers."""
        config = self.config
        return OPTIMIZERS[config.recipe.optimizer](
            momentum=config.recipe.momentum,
            weight_decay=config.recipe.weight_decay,
            decay_biases=config.recipe.decay_biases,
        )

    def compiled_step(self, state: TrainState) -> jax.stages.Compiled:
        """Return the program of the step for states like this one.

        Raises BadInput, with a batch size that fits, if the batch is too large for the devices.
        """
        step, size = self._train_step(), len(self.mean)
        return device_memory.compile_within_memory(
            lambda batch_size: compile_train_step(step, state, batch_size, size),
            self.config.recipe.batch_size,
            device_memory.memory_limit(self.mesh),
            num_batch_shards(self.mesh),
        )

    def _train_step(self) -> TrainStep:
        """The jitted step."""
        _, step_key = jax.random.split(jax.random.key(self.config.recipe.seed))
        return make_train_step(
            self.architecture,
            self.optimizer,
            self.mean,
            schedule=self.learning,
            key=step_key,
            flip=self.config.recipe.flip,
            noise=self.noise,
            crops_together=self.config.recipe.crops_together,
            mesh=self.mesh,
            precision=self.config.recipe.precision,
        )

    def batches(self, position: int, *, prefetch: int | None = None) -> grain.DatasetIterator:
        """Return the endless stream of training batches from example number `position` on.

        Of each, this process reads the rows that its devices hold.
        """
        config = self.config
        return train_batches(
            self.data.train,
            batch_size=config.recipe.batch_size,
            seed=config.recipe.seed,
            position=position,
            threads=config.data.threads,
            prefetch=prefetch or config.data.prefetch,
            rows=local_batch_slice(self.mesh, config.recipe.batch_size),
        )

    @functools.cached_property
    def shardings(self) -> TrainState:
        """Where the state lies on the mesh."""
        return state_shardings(self.architecture, self.optimizer, self.mesh)

    @property
    def _init(self) -> Callable[[], TrainState]:
        init_key, _ = jax.random.split(jax.random.key(self.config.recipe.seed))
        return functools.partial(init_state, init_key, self.architecture, self.optimizer)

    def initial_state(self) -> TrainState:
        """Return the state before the first step."""
        return jax.jit(self._init, out_shardings=self.shardings)()

    def start(self, checkpoints: Checkpoints) -> tuple[TrainState, int]:
        """Return the state of the latest checkpoint, or else the initial one, and the position.

        That is how many examples have been drawn, on whatever devices and processes.
        """
        step = checkpoints.latest_step()
        if step is None:
            return self.initial_state(), 0
        if step > self.last_step:
            raise BadInput(
                f"{self.folder} stands at step {step}, behind {self.last_step}, the last"
            )
        return checkpoints.restore(step, jax.eval_shape(self._init), self.shardings)

    def heading(self, step: int) -> str:
        """Return a line that says what is about to be run."""
        net, config = self.architecture, self.config
        towers = f"{net.towers} tower{'s' * (net.towers > 1)}"
        devices = f"{config.launch.devices} {self.mesh.devices.flat[0].platform} device"
        devices += "s" * (config.launch.devices > 1)
        if jax.process_count() > 1:
            devices += f" of {jax.process_count()} processes"
        count = sum(layer.parameters for layer in net.layer_info())
        begin = f"from step {step} of {self.last_step}" if step else f"{self.last_step} steps"
        return (
            f"{net.name} ({count:,} parameters, {towers}) on {devices}, "
            f"{len(self.data.train):,} images in batches of "
            f"{config.recipe.batch_size}, {begin}, in {self.folder}"
        )
