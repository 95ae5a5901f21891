"""What the training loop does around a step, piece by piece."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.gpu.ours import Ours

_ROUNDS = 3


def pieces(ours: "Ours", key: str, count: int) -> dict[str, float]:
    """Return milliseconds a step of a compiled variant, whose batch lies in the host's memory.

    The difference of the first two is what the loop adds to the step.
    """
    import jax

    from alexnet_jax.towers import global_batch
    from train.trainer.loop import train_loop
    from train.trainer.read_ahead import ReadAhead

    run, program = ours.steps[key]
    size, host = run.config.recipe.batch_size, ours.draw(run)

    def record(step: int, metrics: Any) -> None:
        jax.device_get(metrics)

    def loop() -> None:
        assert ours.state is not None
        with ReadAhead(global_batch(host, run.mesh, size) for _ in range(count)) as batches:
            ours.state, _ = train_loop(
                program,
                ours.state,
                batches,
                range(1, count + 1),
                record=record,
                is_due=lambda step: step == count,
                evaluate_and_save=lambda step, state: state,
                save=lambda state: None,
                poll_stop=lambda: None,
            )
        jax.block_until_ready(ours.state)

    def transfers() -> None:
        for _ in range(count):
            jax.block_until_ready(global_batch(host, run.mesh, size))

    ways: dict[str, Callable[[], object]] = {
        "the loop, metrics read": loop,
        "steps on a batch on the device": lambda: ours.runs[key](count),
        "a batch to the device, waited for": transfers,
    }
    times = {name: _milliseconds(way, count) for name, way in ways.items()}
    gigabytes = sum(rows.nbytes for rows in host.values()) / 1e9
    seconds = times["a batch to the device, waited for"] / 1e3
    return times | {"GB/s to the device": gigabytes / seconds}


def _milliseconds(way: Callable[[], object], count: int) -> float:
    """Return the median of some rounds, after one that is not counted."""
    taken = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        way()
        taken.append(1e3 * (time.perf_counter() - start) / count)
    return statistics.median(taken[1:])
