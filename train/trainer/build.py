"""The parts of a run, one function for each, built from its configuration."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture, Params
from alexnet_jax.towers import local_batch_slice, num_batch_shards

from ..config.config import Config
from ..config.errors import BadInput
from ..config.network import check_layers, get_architecture
from ..config.recipe import Recipe
from ..config.run_length import last_step, steps_per_epoch
from ..config.settings import layer_values
from ..data.dataset import open_data
from ..data.examples import CheckedSource, DataSet, ImageStatistics
from ..data.formats.image_resize import RULES
from ..data.in_memory import keep_in_memory
from ..data.pipeline import train_batches
from ..data.skip_corrupt import SkipCorrupt
from ..data.stored_size import stored_resize, stored_size
from ..data.validation import DEFAULT_SHARE, with_train_images, with_validation
from ..run_dir.checkpoints import Checkpoints
from ..runtime import device_memory
from ..runtime.cores import decoding_threads
from ..steps import schedules
from ..steps.augment import PCA_COLORS, PCAColor
from ..steps.optimizers import OPTIMIZERS
from ..steps.schedules import Schedule
from ..steps.train_step import (
    TrainState,
    compile_train_step,
    init_state,
    make_train_step,
    state_shardings,
)

if TYPE_CHECKING:
    import grain


@dataclass(frozen=True)
class Run:
    """The parts of a run that stay the same from its first step to its last."""

    config: Config
    architecture: Architecture
    data: DataSet
    mesh: Mesh
    statistics: ImageStatistics
    schedule: Schedule
    optimizer: optax.GradientTransformationExtraArgs

    @property
    def steps_per_epoch(self) -> float:
        """Batches in one pass over the training images; the last one reaches into the next."""
        return steps_per_epoch(self.config.recipe, len(self.data.train))

    @property
    def last_step(self) -> int:
        """The number of steps of the whole run."""
        return last_step(self.config.recipe, len(self.data.train))


def load_network_and_data(
    config: Config, data: DataSet | None = None
) -> tuple[Architecture, DataSet]:
    """Return the network, with an output for each class, and the data at its size.

    Args:
      config: of the run.
      data: in place of what the configuration names.

    Data given in Python keep all their training images, unless `validation` asks for some.

    Raises BadInput if either cannot be had, or the network cannot read images of that size.
    """
    architecture = get_architecture(config)
    size = stored_size(config, architecture)
    default = DEFAULT_SHARE if data is None else 0
    if data is None:
        data = open_data(
            config.data.path,
            config.data.kind,
            size,
            resize=RULES[stored_resize(config)],
            held_out=config.data.held_out,
            seed=config.recipe.seed,
        )
        data = keep_in_memory(data, size)
    else:
        if not isinstance(data, DataSet):
            raise BadInput(f"`data` should be a DataSet, not {type(data).__name__}")
        data = _checked(data, size)
    recipe = config.recipe
    data = with_validation(
        with_train_images(data, recipe.train_images, recipe.seed),
        recipe.validation,
        taken_from=recipe.validation_from,
        seed=recipe.seed,
        default=default,
    )
    data = dataclasses.replace(data, train=SkipCorrupt(data.train, config.data.bad_images))
    return architecture.with_classes(len(data.class_names)), data


def _checked(data: DataSet, size: int) -> DataSet:
    """Return a user's data set, the examples of which are checked when they are read."""
    classes = len(data.class_names)
    train, test = (
        CheckedSource(getattr(data, split), size, classes, split) for split in ("train", "test")
    )
    val = data.val
    if val is not None:
        val = test if val is data.test else CheckedSource(val, size, classes, "val")
    return dataclasses.replace(data, train=train, test=test, val=val)


def make_schedule(recipe: Recipe, images: int, frozen: tuple[str, ...] = ()) -> Schedule:
    """Return the learning rates by step, for `images` training images and these frozen layers."""
    epoch = steps_per_epoch(recipe, images)
    scale = recipe.batch_size / (recipe.base_batch or recipe.batch_size)
    rate = recipe.learning_rate * scale
    match recipe.schedule:
        case "plateau":
            schedule = schedules.by_plateau(rate, recipe.bias_rate)
        case "cuts":
            rows = schedules.step_decay(rate, recipe.cut_epochs, recipe.bias_rate)
            schedule = schedules.by_epochs(rows, epoch)
        case "original":
            schedule = schedules.by_epochs(schedules.original(rate), epoch)
        case "dexp":
            schedule = schedules.by_epochs(schedules.dexp(rate, recipe.epochs), epoch)
        case "cosine":
            schedule = schedules.by_cosine(rate, round(recipe.epochs * epoch), recipe.bias_rate)
    warm_up = round(recipe.warmup_epochs * epoch)
    return dataclasses.replace(schedule, warm_up=warm_up, warm_up_from=1 / scale, frozen=frozen)


def make_optimizer(
    recipe: Recipe, architecture: Architecture
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer that the recipe names, with its settings.

    Raises BadInput if `layer_weight_decay` names a layer that the network does not have.
    """
    by_layer = layer_values(recipe.layer_weight_decay)
    check_layers("layer_weight_decay", by_layer, architecture)
    return OPTIMIZERS[recipe.optimizer](
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        layer_weight_decay=by_layer,
        decay_biases=recipe.decay_biases,
    )


def make_pca_color(recipe: Recipe, statistics: ImageStatistics, images: int) -> PCAColor | None:
    """Return the PCA color augmentation of the recipe, or None."""
    if recipe.pca_color == "none":
        return None
    variances, components = (
        jnp.asarray(array, jnp.float32) for array in (statistics.variances, statistics.components)
    )
    pca_color = PCA_COLORS[recipe.pca_color](variances, components)
    if recipe.pca_color_until is None:
        return pca_color
    until = round(recipe.pca_color_until * steps_per_epoch(recipe, images))
    return pca_color._replace(until=until)


def compile_step(run: Run, state: TrainState) -> jax.stages.Compiled:
    """Return the compiled training step for states like this one.

    Raises BadInput, with a batch size that fits, if the batch is too large for the devices.
    """
    recipe, mean = run.config.recipe, run.statistics.mean
    _, step_key = _keys(recipe)
    train_step = make_train_step(
        run.architecture,
        run.optimizer,
        jnp.asarray(mean),
        schedule=run.schedule,
        key=step_key,
        flip=recipe.flip,
        pca_color=make_pca_color(recipe, run.statistics, len(run.data.train)),
        crops_together=recipe.crops_together,
        crop_area=recipe.crop_area,
        center_crops=recipe.train_crops == "center",
        mesh=run.mesh,
        precision=recipe.precision,
        deterministic=run.config.launch.deterministic,
    )
    return device_memory.compile_within_memory(
        lambda batch_size: compile_train_step(train_step, state, batch_size, len(mean)),
        recipe.batch_size,
        device_memory.memory_limit(run.mesh),
        num_batch_shards(run.mesh),
        image_bytes=3 * len(mean) ** 2,
    )


def make_batches(
    run: Run, position: int, *, prefetch: int | None = None
) -> "grain.DatasetIterator":
    """Return the endless stream of training batches from example number `position` on.

    Of each batch, this process reads the rows that its devices hold.
    """
    recipe, data = run.config.recipe, run.config.data
    return train_batches(
        run.data.train,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        position=position,
        threads=decoding_threads(data.threads),
        prefetch=prefetch or data.prefetch,
        rows=local_batch_slice(run.mesh, recipe.batch_size),
    )


def make_initial_state(run: Run) -> TrainState:
    """Return the state before the first step, on the devices."""
    init = functools.partial(init_state, _keys(run.config.recipe)[0], run.architecture)
    shardings = state_shardings(run.architecture, run.optimizer, run.mesh)
    return jax.jit(functools.partial(init, run.optimizer), out_shardings=shardings)()


def draw_initial_params(recipe: Recipe, architecture: Architecture) -> Params:
    """Return the parameters that a run of this recipe begins with, unless it is given others."""
    return alexnet_jax.init(_keys(recipe)[0], architecture)


def restore_or_init(run: Run, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """Return the state of the latest checkpoint, or else the initial one, and its position.

    The position counts the examples drawn so far, on whatever devices and processes. Raises
    BadInput if the checkpoint is damaged, of another network, or past the run's last step.
    """
    step = checkpoints.latest_step()
    if step is None:
        return make_initial_state(run), 0
    if step > run.last_step:
        folder = checkpoints.folder.parent
        raise BadInput(f"{folder} is at step {step}, past the last step, {run.last_step}")
    shapes = jax.eval_shape(lambda: init_state(jax.random.key(0), run.architecture, run.optimizer))
    shardings = state_shardings(run.architecture, run.optimizer, run.mesh)
    return checkpoints.restore(step, shapes, shardings)


def _keys(recipe: Recipe) -> jax.Array:
    """The keys of the initial values and of the steps, [2], whatever kind is JAX's default here."""
    return jax.random.split(jax.random.key(recipe.seed, impl="threefry2x32"))
