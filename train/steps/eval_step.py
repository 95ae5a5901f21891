"""Evaluation on a whole test set, each image counted exactly once."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

import alexnet_jax
from alexnet_jax import Architecture, Params
from alexnet_jax.evaluation import (
    CENTER,
    average_predictions,
    center_crops,
    ten_crops,
    top_k_misses,
)

from ..data.pipeline import PADDING, Batch
from ..runtime.arithmetic import compiler_options

EvalStep = Callable[[Params, ArrayLike], jax.Array]
Array = jax.Array | np.ndarray


def make_eval_step(
    architecture: Architecture,
    mean: jax.Array,
    mesh: Mesh,
    *,
    crops: int = 1,
    input_size: int | None = None,
    scale: float = 1.0,
    std: Sequence[float] = (1.0, 1.0, 1.0),
    deterministic: bool = False,
) -> EvalStep:
    """Return a jitted function of (params, images) to the logits of the images' crops.

    Images are uint8 [n, size, size, 3]. All their pixels become (scale * pixels - mean) / std
    before the crops are taken (§2). Logits are [n, crops, classes]. One crop is the center crop,
    ten are those of `ten_crops`; all go through the network as one batch of n * crops. Products are
    made in float32 on every device, so that a network has the same errors on all of them.

    Args:
      architecture: the network.
      mean: float32 [size, size, 3] or [3], of the scaled pixels.
      mesh: of the parameters and the images.
      crops: 1 or 10.
      input_size: of the crops; the network's first size if None.
      scale: of the pixels, which are 0 to 255 before.
      std: of red, green and blue.
      deterministic: whether to ask XLA for the same bits each time, on a GPU.
    """
    size = input_size or architecture.image_sizes[0]

    def eval_step(params: Params, images: jax.Array) -> jax.Array:
        pixels = scale * images.astype(jnp.float32)
        centered = (pixels - mean) / jnp.asarray(std, jnp.float32)
        one = center_crops(centered, size)[:, None]
        inputs = ten_crops(centered, size) if crops == 10 else one
        batch = inputs.reshape(-1, *inputs.shape[2:])
        with jax.default_matmul_precision("highest"):
            logits = alexnet_jax.apply(params, batch, architecture=architecture, mesh=mesh)
        return logits.reshape(*inputs.shape[:2], -1)

    shardings = (alexnet_jax.param_shardings(mesh, architecture), alexnet_jax.batch_sharding(mesh))
    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        eval_step,
        in_shardings=shardings,
        out_shardings=replicated,
        compiler_options=compiler_options(mesh, deterministic=deterministic),
    )


class EvalResults(NamedTuple):
    """Label, prediction and errors of each of n images."""

    labels: Array
    predictions: Array
    """The most probable class."""
    losses: Array
    """Cross entropy, in nats."""
    top1_misses: Array
    top5_misses: Array

    def rates(self) -> dict[str, float]:
        """Return the mean `loss`, and `top1_error` and `top5_error` as fractions."""
        columns = {
            "loss": self.losses,
            "top1_error": self.top1_misses,
            "top5_error": self.top5_misses,
        }
        return {name: float(values.mean(dtype=np.float64)) for name, values in columns.items()}


def evaluate(
    eval_steps: Sequence[Callable[[ArrayLike], jax.Array]],
    batches: Iterable[Sequence[Batch]],
) -> list[list[EvalResults]]:
    """Predict the class of every image, by each network alone and by the average of several.

    Args:
      eval_steps: one for each network, from images to logits [n, crops, classes].
      batches: the same examples for each network, its images of the size that it needs, padded as
        by `evaluation_batches`.

    Returns:
      A list for each network, and one for their average if there are several. Each list has the
      results of the center crop and, of ten crops, those of the average over the crops.
    """
    parts = []
    for per_network in batches:
        labels = np.asarray(per_network[0]["label"])
        pairs = zip(eval_steps, per_network, strict=True)
        logits = [eval_step(batch["image"]) for eval_step, batch in pairs]
        parts.append(_without_padding(_results(logits, labels), labels != PADDING))
    return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def _without_padding(
    results: list[list[EvalResults]], is_example: np.ndarray
) -> list[list[EvalResults]]:
    return jax.tree.map(lambda x: np.asarray(x)[is_example], results)


@jax.jit
def _results(logits: list[jax.Array], labels: jax.Array) -> list[list[EvalResults]]:
    predictions = [_predictions(x) for x in logits]
    if len(logits) > 1:
        views = zip(*predictions, strict=True)
        predictions.append([average_predictions(jnp.stack(view), axis=0) for view in views])
    return [[_result(view, labels) for view in views] for views in predictions]


def _predictions(logits: jax.Array) -> list[jax.Array]:
    """The predictions [n, classes] from the center crop and, if there are ten, from all."""
    if logits.shape[1] == 1:
        return [logits[:, 0]]
    return [logits[:, CENTER], average_predictions(logits, axis=1)]


def _result(logits: jax.Array, labels: jax.Array) -> EvalResults:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    top1, top5 = top_k_misses(logits, labels, 1), top_k_misses(logits, labels, 5)
    return EvalResults(labels, logits.argmax(axis=-1), losses, top1, top5)
