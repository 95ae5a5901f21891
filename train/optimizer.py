"""The paper's rule for learning (§5), and Adam."""

from collections.abc import Callable, Sequence

import optax


def sgd(
    learning_rate: optax.ScalarOrSchedule = 0.01,
    *,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> optax.GradientTransformation:
    """Return stochastic gradient descent with momentum and weight decay as in §5.

        v <- momentum * v - weight_decay * rate * w - rate * gradient
        w <- w + v

    The rate multiplies before the momentum, so that a cut does not shrink the velocity gathered
    until then; `optax.sgd` multiplies after it, which differs at every cut.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(decay=momentum),
    )


def adam(
    learning_rate: optax.ScalarOrSchedule = 0.001,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Return Adam (Kingma and Ba 2015), as Keras's and PyTorch's class of that name.

    `momentum` is its beta_1; beta_2 is 0.999 and epsilon 1e-8. The decay is added to the gradient,
    as weight_decay * w.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(b1=momentum),
        optax.scale_by_learning_rate(learning_rate),
    )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {"sgd": sgd, "adam": adam}
"""By the name that the configuration has for them; all take the same arguments."""


def cut_by_ten(learning_rate: float, cut_steps: Sequence[int]) -> optax.Schedule:
    """Return a rate that is divided by ten after each of `cut_steps` (§5)."""
    rates = [optax.constant_schedule(learning_rate / 10**i) for i in range(len(cut_steps) + 1)]
    return optax.join_schedules(rates, list(cut_steps))
