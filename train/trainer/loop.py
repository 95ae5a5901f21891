"""The training loop."""

from collections import deque
from collections.abc import Callable
from typing import Any

import jax

from ..config.errors import BadInput
from ..steps.train_step import TrainState
from .read_ahead import ReadAhead

Metrics = dict[str, jax.Array]

STEPS_AHEAD = 2
"""Steps that are dispatched after the one whose metrics are read: one that runs, and one that the
devices go on with while the host records."""


def train_loop(
    train_step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    state: TrainState,
    batches: ReadAhead,
    steps: range,
    *,
    record: Callable[[int, Metrics], None],
    is_due: Callable[[int], bool],
    evaluate_and_save: Callable[[int, TrainState], TrainState],
    save: Callable[[TrainState], None],
    poll_stop: Callable[[], int | None],
) -> tuple[TrainState, int | None]:
    """Run training steps.

    The host never waits for the step that it has just dispatched: it reads the next batch and the
    metrics of an earlier step while the devices run.

    Returns the state after the last of them, and why the run stops early, as `poll_stop` says it,
    or None.

    Args:
      train_step: compiled; from a state and a batch to the next state and the step's metrics.
      state: before the first of the steps.
      batches: of all devices, one for each step.
      steps: the numbers of the steps to run, from 1 on.
      record: takes the metrics of each step, `STEPS_AHEAD` steps late, but those of all steps
        before an evaluation.
      is_due: whether the run is evaluated or saved after a step.
      evaluate_and_save: takes the state after a step that is due, or after which the run stops;
        returns it with its plateau updated.
      save: takes the state when a batch cannot be read.
      poll_stop: asks, after every step, whether the run is to stop; all processes get one answer.
    """
    unread: deque[tuple[int, Metrics]] = deque()

    def record_all_but(count: int) -> None:
        while len(unread) > count:
            record(*unread.popleft())

    try:
        for step in steps:
            state, metrics = train_step(state, batches.take())
            unread.append((step, metrics))
            if step < steps[-1]:
                batches.read(running=metrics)
            record_all_but(STEPS_AHEAD)
            stop = poll_stop()
            if stop or is_due(step):
                record_all_but(0)
                state = evaluate_and_save(step, state)
                stop = stop or poll_stop()  # a signal may have come during the evaluation
                if stop and step < steps[-1]:
                    return state, stop
    except BadInput:  # an image that cannot be decoded, say: keep what was learned before it
        if jax.process_count() == 1:  # several processes would all have to save
            record_all_but(0)
            save(state)
        raise
    return state, None
