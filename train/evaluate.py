"""Error rates over a whole test set, each image counted exactly once."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

import alexnet_jax
from alexnet_jax import Architecture, Params
from train.augment import centre_crops
from train.data.pipeline import Batch

Sums = dict[str, jax.Array]
EvaluationStep = Callable[[Params, ArrayLike, ArrayLike, ArrayLike], Sums]


def make_evaluation_step(architecture: Architecture, mean: jax.Array, mesh: Mesh) -> EvaluationStep:
    """Return a jitted function of (params, images, labels, counted) to sums over the batch.

    `counted` [n] says which examples are real; the others only fill the batch up.
    """
    size = architecture.image_sizes[0]

    def evaluation_step(params: Params, images: jax.Array, labels: jax.Array, counted: jax.Array):
        images = centre_crops(images, mean, size=size)
        scores = alexnet_jax.apply(params, images, architecture=architecture, mesh=mesh)
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
        top1, top5 = missed(scores, labels, 1), missed(scores, labels, 5)
        values = {"loss": losses, "top1_error": top1, "top5_error": top5}
        sums = {name: jnp.sum(v.astype(jnp.float32), where=counted) for name, v in values.items()}
        return sums | {"count": counted.sum()}

    batch = alexnet_jax.batch_sharding(mesh)
    params = alexnet_jax.param_shardings(mesh, architecture)
    everywhere = NamedSharding(mesh, PartitionSpec())
    shardings = (params, batch, batch, batch)
    return jax.jit(evaluation_step, in_shardings=shardings, out_shardings=everywhere)


def missed(scores: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    """Return, for scores [n, classes], whether the label [n] is not among the k best classes.

    Of equal scores the class with the lower number comes first.
    """
    best = jax.lax.top_k(scores, min(k, scores.shape[-1]))[1]
    return ~jnp.any(best == labels[:, None], axis=-1)


def evaluate(
    step: EvaluationStep,
    params: Params,
    batches: Iterable[Batch],
    batch_size: int,
) -> dict[str, float]:
    """Return mean `loss`, `top1_error`, `top5_error` (fractions) and `count` over all examples."""
    totals: dict[str, float] = {}
    for batch in batches:
        size = len(batch["label"])
        fill = lambda x: np.concatenate([x, np.repeat(x[:1], batch_size - len(x), axis=0)])  # noqa: E731
        counted = np.arange(batch_size) < size
        sums = step(params, fill(batch["image"]), fill(np.asarray(batch["label"])), counted)
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    count = totals.pop("count")
    return {name: total / count for name, total in totals.items()} | {"count": count}
