"""How fast every layer learns, and when that changes: schedules as tables of rates.

The step looks up a rate for each array of parameters and hands them to the optimizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from alexnet_jax import Params

MOST_CUTS = 3
"""The learning rate was "reduced three times prior to termination" (§5)."""


class Row(NamedTuple):
    """From `start` on, these layers learn at these rates; a rate of 0 freezes them."""

    start: float  # epochs; for `by_plateau`, cuts
    weights: float
    biases: float
    layers: tuple[str, ...] = ()  # all of them if empty


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
"""What the original program's net 145 learned at, of 91 epochs: its author changed it by hand."""


def cuts(learning_rate: float, cut_epochs: Sequence[float], bias_rate: float = 1) -> Rows:
    """Return rows that divide the rate by ten after each of `cut_epochs` (§5).

    Biases learn at `bias_rate` times the weights' rate: 1 in the paper, 2 in Caffe's nets.
    """
    rates = [learning_rate / 10**i for i in range(len(cut_epochs) + 1)]
    return tuple(Row(e, r, bias_rate * r) for e, r in zip((0, *cut_epochs), rates, strict=True))


def original(learning_rate: float = 0.01) -> Rows:
    """Return net 145's rows, all in proportion if the learning rate is not its own, 0.01."""
    scale = learning_rate / NET_145[0].weights
    return tuple(
        row._replace(weights=scale * row.weights, biases=scale * row.biases) for row in NET_145
    )


def dexp(learning_rate: float, epochs: float) -> Rows:
    """Return cuda-convnet2's rows, its "discretized exponential" of a run of `epochs`.

    Weights: four equal parts, in the last at 1 / 250 of the first rate. Biases: twice the weights'
    first rate, and a tenth of that from half-way on.
    """
    parts = [(epochs * i / 4, learning_rate / 250 ** (i / 3)) for i in range(4)]
    return tuple(Row(e, r, learning_rate * (2 if e < epochs / 2 else 0.2)) for e, r in parts)


@flax.struct.dataclass
class Plateau:
    """What the paper's rule remembers of the evaluations so far, as scalars."""

    best: jax.Array  # the lowest error on the held-out images
    waited: jax.Array  # evaluations since it fell, or since the last cut
    cuts: jax.Array


def initial_plateau() -> Plateau:
    """Return what is remembered before the first evaluation."""
    return Plateau(jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(0))


def update_plateau(plateau: Plateau, error: jax.Array | float, patience: int) -> Plateau:
    """Cut "when the validation error rate stopped improving" (§5): not for `patience` evaluations.

    There are at most `MOST_CUTS` cuts; after the last of them the rate stays.
    """
    error = jnp.asarray(error, jnp.float32)
    waited = jnp.where(error < plateau.best, 0, plateau.waited + 1)
    cut = (waited >= patience) & (plateau.cuts < MOST_CUTS)
    return Plateau(
        best=jnp.minimum(plateau.best, error),
        waited=jnp.where(cut, 0, waited),
        cuts=plateau.cuts + cut.astype(jnp.int32),
    )


@dataclass(frozen=True)
class Schedule:
    """Rows that start at steps of the run or, `on_plateau`, at numbers of cuts.

    The first `warm_up` steps raise all rates evenly, from `warm_up_from` of what the rows say.
    """

    rows: Rows
    on_plateau: bool = False
    warm_up: int = 0
    warm_up_from: float = 1.0
    frozen: tuple[str, ...] = ()
    """Layers that never learn, whatever the rows say; no gradient is computed for them."""

    def rates(self, step: jax.Array, plateau: Plateau, params: Params) -> Params:
        """Return the rate of each array of parameters, a scalar in its place.

        A layer that a row has named goes by rows that name it from there on. What is neither
        weights nor biases, as running statistics, has the rate 0.
        """
        now = plateau.cuts if self.on_plateau else step
        share = self._share(step)

        def rate(path: tuple, _: jax.Array) -> jax.Array:
            layer, field = path[0].key, path[-1].name
            if field not in Row._fields or layer in self.frozen:
                return jnp.float32(0)
            common = [row for row in self.rows if not row.layers]
            own = [row for row in self.rows if layer in row.layers]
            return share * _last(now, [(row.start, getattr(row, field)) for row in common + own])

        return jax.tree_util.tree_map_with_path(rate, params)

    def learning_rate(self, step: jax.Array | int, plateau: Plateau) -> jax.Array:
        """Return the rate of the weights of most layers."""
        now = plateau.cuts if self.on_plateau else step
        rate = _last(now, [(row.start, row.weights) for row in self.rows if not row.layers])
        return self._share(step) * rate

    def _share(self, step: jax.Array | int) -> jax.Array:
        """How much of the rates there is: the same is added in each step of the warm-up."""
        done = jnp.minimum(jnp.float32(step) / max(self.warm_up, 1), 1)
        return self.warm_up_from + (1 - self.warm_up_from) * done if self.warm_up else jnp.ones(())


def _last(now: jax.Array | int, rates: Sequence[tuple[float, float]]) -> jax.Array:
    """The last rate in the list that has started."""
    found = jnp.float32(rates[0][1])
    for start, rate in rates[1:]:
        found = jnp.where(now >= start, jnp.float32(rate), found)
    return found


def constant(learning_rate: float) -> Schedule:
    """Return one rate for everything, always."""
    return Schedule(cuts(learning_rate, ()))


def by_epochs(rows: Rows, steps_per_epoch: float) -> Schedule:
    """Return rows that start after so many epochs, as steps of the run."""
    return Schedule(tuple(row._replace(start=round(row.start * steps_per_epoch)) for row in rows))


def by_plateau(learning_rate: float, bias_rate: float = 1) -> Schedule:
    """Return the paper's rule: the rate is divided by ten at each of the cuts of a `Plateau`."""
    return Schedule(cuts(learning_rate, range(1, MOST_CUTS + 1), bias_rate), on_plateau=True)
