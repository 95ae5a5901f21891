"""The training step: a jitted function from state and batch to state and metrics."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import alexnet_jax
from alexnet_jax import Architecture, Params

from ..data.pipeline import TrainingBatch
from ..runtime.arithmetic import compiler_options
from .augment import PCAColor, augment
from .schedules import Plateau, Schedule, initial_plateau


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that a step changes, and that a checkpoint keeps of the model."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    plateau: Plateau


TrainStep = Callable[[TrainState, TrainingBatch], tuple[TrainState, dict[str, jax.Array]]]
"""What `make_train_step` returns."""


def init_state(
    key: jax.Array, architecture: Architecture, optimizer: optax.GradientTransformation
) -> TrainState:
    """Return the state before the first step."""
    params = alexnet_jax.init(key, architecture)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), initial_plateau())


def state_shardings(
    architecture: Architecture, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Return the shardings of the state: the velocity as its parameters, scalars replicated."""
    replicated = NamedSharding(mesh, PartitionSpec())
    by_parameter = alexnet_jax.param_shardings(mesh, architecture)
    abstract = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    opt_state = optax.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        abstract.opt_state,
        by_parameter,
        transform_non_params=lambda _: replicated,
    )
    plateau = jax.tree.map(lambda _: replicated, abstract.plateau)
    return TrainState(replicated, by_parameter, opt_state, plateau)  # pyright: ignore[reportArgumentType]


def make_train_step(
    architecture: Architecture,
    optimizer: optax.GradientTransformationExtraArgs,
    mean: jax.Array,
    *,
    schedule: Schedule,
    key: jax.Array,
    flip: bool,
    pca_color: PCAColor | None = None,
    crops_together: int = 1,
    crop_area: float | None = None,
    center_crops: bool = False,
    mesh: Mesh,
    precision: str = "default",
    deterministic: bool = False,
) -> TrainStep:
    """Return the jitted step, which donates the old state's memory to the new one.

    Its metrics are the mean cross entropy `loss` (nats) and the `top1_error` on the batch, with
    dropout on, and the `learning_rate`, that of `Schedule.learning_rate`. An image's crop, flip and
    color depend on (key, epoch, index in the source), its dropout masks on (key, step, position in
    the batch). Both are the same on any devices and in a resumed run; the former are the same for
    any batch size, too.

    With `precision` "bfloat16" the forward and backward passes compute on copies of the parameters
    in that type; each product and norm still sums in float32, as do loss and update. With "highest"
    all products are made in float32, and with "default" as JAX's setting has it
    (jax_default_matmul_precision): `runtime.arithmetic` says what that is on which device.
    `deterministic` asks XLA for the same bits each time, on a GPU.
    """
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    draw_key, dropout_key = jax.random.split(key)
    augment_batch = functools.partial(
        augment,
        draw_key,
        mean=mean,
        size=architecture.image_sizes[0],
        flip=flip,
        pca_color=pca_color,
        crops_together=crops_together,
        crop_area=crop_area,
        center_crops=center_crops,
    )

    def loss_and_errors(params: Params, images: jax.Array, labels: jax.Array, key: jax.Array):
        params = {
            name: jax.lax.stop_gradient(layer) if name in schedule.frozen else layer
            for name, layer in params.items()
        }
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
        logits, batch_stats = alexnet_jax.apply_train(
            params, images, key, architecture=architecture, mesh=mesh
        )
        logits = logits.astype(jnp.float32)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, ((logits.argmax(axis=-1) != labels).mean(dtype=jnp.float32), batch_stats)

    def take_step(
        state: TrainState, batch: TrainingBatch
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        images = augment_batch(batch, step=state.step)
        step_key = jax.random.fold_in(dropout_key, state.step)
        gradient = jax.value_and_grad(loss_and_errors, has_aux=True)
        (loss, (error, batch_stats)), grads = gradient(
            state.params, images, batch["label"], step_key
        )
        rates = schedule.rates(state.step, state.plateau, state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, rates=rates)
        params = jax.tree.map(jnp.add, state.params, updates)  # w <- w + v
        updated = alexnet_jax.update_batch_stats(state.params, batch_stats, architecture)
        frozen = {f"{name}_running" for name in schedule.frozen}
        params |= {name: running for name, running in updated.items() if name not in frozen}
        learning_rate = schedule.learning_rate(state.step, state.plateau)
        updated_state = TrainState(state.step + 1, params, opt_state, state.plateau)
        return updated_state, {"loss": loss, "top1_error": error, "learning_rate": learning_rate}

    def train_step(
        state: TrainState, batch: TrainingBatch
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        exact = precision == "highest"
        with jax.default_matmul_precision("highest") if exact else contextlib.nullcontext():
            return take_step(state, batch)

    shardings = state_shardings(architecture, optimizer, mesh)
    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(shardings, alexnet_jax.batch_sharding(mesh)),
        out_shardings=(shardings, replicated),
        compiler_options=compiler_options(mesh, deterministic=deterministic),
    )


def abstract_batch(batch_size: int, size: int) -> Any:
    """Return the shapes and types of a `TrainingBatch` of images of `size`."""
    image = jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.uint8)
    number = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    return {"image": image} | dict.fromkeys(("label", "index", "epoch", "place"), number)


def compile_train_step(
    train_step: TrainStep, state: TrainState, batch_size: int, size: int
) -> jax.stages.Compiled:
    """Compile the step for batches of `batch_size` images of `size` pixels, without running it.

    The result is called as the step is; calling the step itself would compile it again.
    """
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    batch = abstract_batch(batch_size, size)
    return train_step.lower(like, batch).compile()  # pyright: ignore[reportFunctionMemberAccess]
