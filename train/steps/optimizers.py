"""The paper's optimizer (§5), Adam and LARS; learning rates come from `schedules`."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from alexnet_jax import Params

TRUST = 0.001
"""LARS's trust coefficient: at a learning rate of 1, weights move by this part of their norm."""


def sgd(
    *,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    layer_weight_decay: Mapping[str, float] | None = None,
    decay_biases: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """Return stochastic gradient descent with momentum and weight decay as in §5.

        v <- momentum * v - weight_decay * rate * w - rate * gradient
        w <- w + v

    `update` takes `rates`, a pytree of learning rates like the parameters. The rate scales the
    gradient before it enters the velocity, so a step decay leaves the velocity gathered so far
    alone; `optax.sgd` scales the whole velocity, which differs at every step decay. A rate of 0
    stops an array at once: it loses its velocity.

    The paper's formula decays every w by the same factor. `layer_weight_decay` has other factors
    for some layers, by name. With `decay_biases` False only weights decay, as in the original
    program and in Caffe.
    """
    add_decay = _weight_decay(weight_decay, layer_weight_decay, decay_biases)

    def init(params: Params) -> optax.TraceState:
        return optax.TraceState(jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Params, state: optax.TraceState, params: Params, *, rates: Params):
        def velocity(v: jax.Array, g: jax.Array, rate: jax.Array) -> jax.Array:
            return -rate * g + jnp.where(rate > 0, momentum, 0.0) * v

        decayed = add_decay(gradients, params)
        v = jax.tree.map(velocity, state.trace, decayed, rates)
        return v, optax.TraceState(v)

    return _transformation(init, update)


def adam(
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    layer_weight_decay: Mapping[str, float] | None = None,
    decay_biases: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """Return Adam (Kingma and Ba 2015), as `torch.optim.Adam`; Keras has an epsilon of 1e-7.

    `momentum` is its beta_1; beta_2 is 0.999 and epsilon 1e-8. weight_decay * w is added to the
    gradient. `update` takes `rates` as `sgd` does.
    """
    add_decay = _weight_decay(weight_decay, layer_weight_decay, decay_biases)
    adam_moments = optax.scale_by_adam(b1=momentum)

    def update(gradients: Params, state: optax.OptState, params: Params, *, rates: Params):
        decayed: Any = add_decay(gradients, params)
        steps, state = adam_moments.update(decayed, state)
        return jax.tree.map(lambda rate, step: -rate * step, rates, steps), state

    return _transformation(adam_moments.init, update)


def _weight_decay(
    default: float, by_layer: Mapping[str, float] | None, decay_biases: bool
) -> Callable[[Params, Params], Params]:
    """Return the function of gradients and parameters that returns gradient + weight_decay * w."""

    def decayed(path: tuple, g: jax.Array, w: jax.Array) -> jax.Array:
        decay = (by_layer or {}).get(path[0].key, default)
        spared = not decay or (not decay_biases and path[-1].name == "biases")
        return g if spared else g + decay * w

    return lambda gradients, params: jax.tree_util.tree_map_with_path(decayed, gradients, params)


def _transformation(init: Any, update: Any) -> optax.GradientTransformationExtraArgs:
    """Return Optax's pair of functions. `Any`: its types allow `update` no required argument."""
    return optax.GradientTransformationExtraArgs(init, update)


def lars(
    *,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    layer_weight_decay: Mapping[str, float] | None = None,
    decay_biases: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """Return LARS, for large batches (You, Gitman and Ginsburg 2017, arXiv:1708.03888).

        u <- gradient + weight_decay * w
        v <- momentum * v - rate * 0.001 * |w| / |u| * u
        w <- w + v

    with norms over all weights of a layer, as in Optax; the paper has |gradient| + weight_decay *
    |w| for |u|. Biases, and the scales and offsets of batch normalization, which may be 0, are
    updated as in `sgd`. `update` takes `rates` as `sgd` does.
    """
    add_decay = _weight_decay(weight_decay, layer_weight_decay, decay_biases)
    trusted = optax.masked(
        optax.scale_by_trust_ratio(trust_coefficient=TRUST),
        lambda params: jax.tree_util.tree_map_with_path(_is_matrix, params),
    )
    rule = sgd(momentum=momentum, weight_decay=0)

    def update(gradients: Params, state: optax.TraceState, params: Params, *, rates: Params):
        decayed: Any = add_decay(gradients, params)
        scaled, _ = trusted.update(decayed, trusted.init(params), params)  # it keeps no state
        return rule.update(scaled, state, params, rates=rates)

    return _transformation(rule.init, update)


def _is_matrix(path: tuple, x: jax.Array) -> bool:
    return path[-1].name == "weights" and x.ndim > 1


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "sgd": sgd,
    "adam": adam,
    "lars": lars,
}
"""By their names in the configuration; all take the same arguments."""
