"""Learning rate schedules: tables of the rates of each layer, and when they change.

The training step looks up the learning rate of each array of parameters for the optimizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from alexnet_jax import Params

MAX_DECAYS = 3
"""The learning rate was "reduced three times prior to termination" (§5)."""


class Row(NamedTuple):
    """Learning rates of some layers from `start` on; a rate of 0 freezes them."""

    start: float  # in epochs, or steps of the run; for `by_plateau`, in step decays
    weights: float
    biases: float
    layers: tuple[str, ...] = ()  # all layers if empty


Rows = tuple[Row, ...]

NET_145: Rows = (
    #   epoch  weights  biases
    Row(0, 0.01, 0.02),
    Row(25, 0.001, 0.02),
    Row(51, 0.0001, 0.02),
    Row(67, 0.00001, 0.02, ("conv1",)),
    Row(72, 0, 0, ("conv1",)),
    Row(79, 0.00001, 0.02),
)
"""The learning rates of the original program's net 145, set by hand, over 91 epochs."""


def step_decay(learning_rate: float, decay_epochs: Sequence[float], bias_rate: float = 1) -> Rows:
    """Return rows that divide the learning rate by ten after each of `decay_epochs` (§5).

    The rate of biases is `bias_rate` times that of weights: 1 in the paper, 2 in Caffe's networks.
    """
    rates = [learning_rate / 10**i for i in range(len(decay_epochs) + 1)]
    return tuple(Row(e, r, bias_rate * r) for e, r in zip((0, *decay_epochs), rates, strict=True))


def original(learning_rate: float = 0.01) -> Rows:
    """Return net 145's rows, scaled to another initial learning rate than its own, 0.01."""
    scale = learning_rate / NET_145[0].weights
    return tuple(
        row._replace(weights=scale * row.weights, biases=scale * row.biases) for row in NET_145
    )


def dexp(learning_rate: float, epochs: float) -> Rows:
    """Return cuda-convnet2's rows, its "discretized exponential" over a run of `epochs`.

    Weights: four equal parts, down to 1 / 250 of the initial rate. Biases: twice the weights'
    initial rate, and a tenth of that in the second half.
    """
    parts = [(epochs * i / 4, learning_rate / 250 ** (i / 3)) for i in range(4)]
    return tuple(Row(e, r, learning_rate * (2 if e < epochs / 2 else 0.2)) for e, r in parts)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Plateau:
    """The state of the paper's schedule between evaluations, as scalars.

    The names of its fields are part of checkpoints.
    """

    best: jax.Array  # the lowest test error so far
    waited: jax.Array  # evaluations since it fell, or since the last step decay
    cuts: jax.Array  # step decays so far


def initial_plateau() -> Plateau:
    """Return the state before the first evaluation."""
    return Plateau(jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))


def update_plateau(plateau: Plateau, error: jax.Array | float, patience: int) -> Plateau:
    """Decay "when the validation error rate stopped improving" (§5), for `patience` evaluations.

    There are at most `MAX_DECAYS` step decays; after the last the learning rate stays.
    """
    error = jnp.asarray(error, jnp.float32)
    waited = jnp.where(error < plateau.best, 0, plateau.waited + 1)
    decay = (waited >= patience) & (plateau.cuts < MAX_DECAYS)
    return Plateau(
        best=jnp.minimum(plateau.best, error),
        waited=jnp.where(decay, 0, waited),
        cuts=plateau.cuts + decay.astype(jnp.int32),
    )


@dataclass(frozen=True)
class Schedule:
    """Rows that start at steps of the run or, `on_plateau`, after numbers of step decays.

    Over the first `warm_up` steps all rates rise linearly, from `warm_up_from` times the rows'.
    With `cosine_end` they then fall to 0 along half a cosine, until that step (Loshchilov and
    Hutter 2017, arXiv:1608.03983).
    """

    rows: Rows
    on_plateau: bool = False
    warm_up: int = 0
    warm_up_from: float = 1.0
    cosine_end: int | None = None
    frozen: tuple[str, ...] = ()
    """Layers whose rate is always 0; no gradient is computed for them."""

    def rates(self, step: jax.Array, plateau: Plateau, params: Params) -> Params:
        """Return the learning rate of each array of parameters, as a pytree of scalars.

        A layer follows the rows that name it, from the first such row on. Running statistics,
        which are neither weights nor biases, have the rate 0.
        """
        now = plateau.cuts if self.on_plateau else step
        factor = self._factor(step)

        def rate(path: tuple, _: jax.Array) -> jax.Array:
            layer, field = path[0].key, path[-1].name
            if field not in Row._fields or layer in self.frozen:
                return jnp.float32(0)
            common = [row for row in self.rows if not row.layers]
            own = [row for row in self.rows if layer in row.layers]
            return factor * _last(now, [(row.start, getattr(row, field)) for row in common + own])

        return jax.tree_util.tree_map_with_path(rate, params)

    def learning_rate(self, step: jax.Array | int, plateau: Plateau) -> jax.Array:
        """Return the learning rate of the weights of layers that no row names."""
        now = plateau.cuts if self.on_plateau else step
        rate = _last(now, [(row.start, row.weights) for row in self.rows if not row.layers])
        return self._factor(step) * rate

    def _factor(self, step: jax.Array | int) -> jax.Array:
        """The factor of all rates, which rises over the warm-up and falls along the cosine."""
        factor = jnp.ones(())
        if self.warm_up:
            done = jnp.minimum(jnp.float32(step) / self.warm_up, 1)
            factor = self.warm_up_from + (1 - self.warm_up_from) * done
        if self.cosine_end is not None:
            length = max(self.cosine_end - self.warm_up, 1)
            done = jnp.clip(jnp.float32(step - self.warm_up) / length, 0, 1)
            factor *= (1 + jnp.cos(jnp.pi * done)) / 2
        return factor


def _last(now: jax.Array | int, rates: Sequence[tuple[float, float]]) -> jax.Array:
    """The rate of the last row that has started, of (start, rate) pairs."""
    current = jnp.float32(rates[0][1])
    for start, rate in rates[1:]:
        current = jnp.where(now >= start, jnp.float32(rate), current)
    return current


def constant(learning_rate: float) -> Schedule:
    """Return one constant learning rate for all layers."""
    return Schedule(step_decay(learning_rate, ()))


def by_epochs(rows: Rows, steps_per_epoch: float) -> Schedule:
    """Return the schedule of rows whose starts are in epochs."""
    return Schedule(tuple(row._replace(start=round(row.start * steps_per_epoch)) for row in rows))


def by_plateau(learning_rate: float, bias_rate: float = 1) -> Schedule:
    """Return the paper's schedule: divide by ten at each step decay of a `Plateau` (§5)."""
    return Schedule(step_decay(learning_rate, range(1, MAX_DECAYS + 1), bias_rate), on_plateau=True)


def by_cosine(learning_rate: float, end: int, bias_rate: float = 1) -> Schedule:
    """Return the schedule that falls along half a cosine, to 0 at step `end`."""
    return Schedule(step_decay(learning_rate, (), bias_rate), cosine_end=end)
