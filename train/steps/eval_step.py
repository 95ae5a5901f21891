"""Error rates over a whole test set, each image counted exactly once."""

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

from ..data.pipeline import FILLER, Batch

EvalStep = Callable[[Params, ArrayLike], jax.Array]
Array = jax.Array | np.ndarray


def make_eval_step(
    architecture: Architecture, mean: jax.Array, mesh: Mesh, *, patches: int = 1
) -> EvalStep:
    """Return a jitted function of (params, images) to the scores of the images' patches.

    Images are uint8 [n, size, size, 3] of the mean's size, which is subtracted before patches are
    cut (§2); scores are [n, patches, classes]. Of one patch, that is the central one, of ten those
    of `ten_crops`; all go through the net as one batch of n * patches.
    """
    size = architecture.image_sizes[0]

    def score(params: Params, images: jax.Array) -> jax.Array:
        centered = images.astype(jnp.float32) - mean
        cuts = ten_crops(centered, size) if patches == 10 else center_crops(centered, size)[:, None]
        batch = cuts.reshape(-1, *cuts.shape[2:])
        scores = alexnet_jax.apply(params, batch, architecture=architecture, mesh=mesh)
        return scores.reshape(*cuts.shape[:2], -1)

    shardings = (alexnet_jax.param_shardings(mesh, architecture), alexnet_jax.batch_sharding(mesh))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(score, in_shardings=shardings, out_shardings=everywhere)


class EvalResults(NamedTuple):
    """What came of one prediction for each of n images."""

    labels: Array
    predictions: Array
    """The likeliest class."""
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
    scorers: Sequence[Callable[[ArrayLike], jax.Array]],
    batches: Iterable[Sequence[Batch]],
) -> list[list[EvalResults]]:
    """Predict the class of every image, by each net alone and by the mean of several.

    Args:
      scorers: of each net; images to scores [n, patches, classes].
      batches: for each net the same examples, its images of the size that it needs,
        filled up as by `evaluation_batches`.

    Returns:
      For each net, and then, if there are several, for their mean: what came of the central
      patch, and then, of ten, what came of the mean over the patches.
    """
    parts = []
    for of_each_net in batches:
        labels = np.asarray(of_each_net[0]["label"])
        pairs = zip(scorers, of_each_net, strict=True)
        scores = [scorer(batch["image"]) for scorer, batch in pairs]
        parts.append(_counted(_outcomes(scores, labels), labels != FILLER))
    return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def _counted(outcomes: list[list[EvalResults]], real: np.ndarray) -> list[list[EvalResults]]:
    """Without what came of fillers."""
    return jax.tree.map(lambda x: np.asarray(x)[real], outcomes)


@jax.jit
def _outcomes(scores: list[jax.Array], labels: jax.Array) -> list[list[EvalResults]]:
    predictions = [_of_patches(x) for x in scores]
    if len(scores) > 1:
        views = zip(*predictions, strict=True)
        predictions.append([average_predictions(jnp.stack(view), axis=0) for view in views])
    return [[_outcome(view, labels) for view in of_net] for of_net in predictions]


def _of_patches(scores: jax.Array) -> list[jax.Array]:
    """The predictions [n, classes] from the central patch, and from all ten if there are."""
    if scores.shape[1] == 1:
        return [scores[:, 0]]
    return [scores[:, CENTER], average_predictions(scores, axis=1)]


def _outcome(scores: jax.Array, labels: jax.Array) -> EvalResults:
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    predictions = scores.argmax(axis=-1)
    top1, top5 = top_k_misses(scores, labels, 1), top_k_misses(scores, labels, 5)
    return EvalResults(labels, predictions, losses, top1, top5)
