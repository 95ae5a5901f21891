"""The training loop."""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..config.errors import BadInput
from ..steps.train_step import TrainState

Metrics = dict[str, jax.Array]


def train_loop(
    train_step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    state: TrainState,
    batches: Iterator[Any],
    steps: range,
    *,
    record: Callable[[int, Metrics], None],
    is_due: Callable[[int], bool],
    evaluate_and_save: Callable[[int, TrainState], TrainState],
    save: Callable[[TrainState], None],
    poll_stop: Callable[[], int | None],
) -> tuple[TrainState, int | None]:
    """Run training steps.

    Returns the state after the last of them, and why the run stops early, as `poll_stop` says it,
    or None.

    Args:
      train_step: compiled; from a state and a batch to the next state and the step's metrics.
      state: before the first of the steps.
      batches: of all devices, one for each step.
      steps: the numbers of the steps to run, from 1 on.
      record: takes the metrics of each step; one step late, but at once before an evaluation.
      is_due: whether the run is evaluated or saved after a step.
      evaluate_and_save: takes the state after a step that is due, or after which the run stops;
        returns it with its plateau updated.
      save: takes the state when a batch cannot be read.
      poll_stop: asks, after every step, whether the run is to stop; all processes get one answer.
    """
    unread: tuple[int, Metrics] | None = None
    try:
        for step in steps:
            state, metrics = train_step(state, next(batches))
            if unread is not None:
                record(*unread)  # the step before's, so that the device never waits for the host
            unread = step, metrics
            stop = poll_stop()
            if stop or is_due(step):
                record(*unread)
                unread = None
                state = evaluate_and_save(step, state)
                stop = stop or poll_stop()  # a signal may have come during the evaluation
                if stop and step < steps[-1]:
                    return state, stop
    except BadInput:  # an image that cannot be decoded, say: keep what was learned before it
        if jax.process_count() == 1:  # several processes would all have to save
            if unread is not None:
                record(*unread)
            save(state)
        raise
    return state, None
