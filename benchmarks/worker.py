"""A process that answers requests, so that several implementations can take turns.

It reads one JSON object per line, which names what to do and its arguments, and answers each with
a line. `benchmarks.children.Worker` is the other end. It imports the standard library alone,
because it also runs in the peers' environments.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Prepared = Callable[[], object]
"""Runs one step or one forward pass, and waits for its result."""


def answer_requests(handlers: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Answer requests {"do": NAME, **arguments} until the input ends.

    A handler that fails is answered by {"error": SENTENCE}, with its traceback on stderr; the next
    request may still succeed.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print to stderr instead
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = handlers[arguments.pop("do")](**arguments)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:600]}
        print(json.dumps(answer, default=str), file=answers, flush=True)


def serve(prepare: Callable[[str, int], Prepared]) -> None:
    """Answer requests for the seconds of a task; call `prepare(task, batch)` once for each kind."""
    prepared: dict[tuple[str, int], Prepared] = {}

    def time_runs(task: str, batch: int, repeats: int) -> dict[str, list[float]]:
        run = prepared.get((task, batch))
        if run is None:
            run = prepared[task, batch] = prepare(task, batch)
            for _ in range(2):  # compilation and the first touch of memory
                run()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    answer_requests({"seconds": time_runs})


def time_steps(run: Callable[[int], object], count: int) -> dict[str, float]:
    """Return the seconds of a step among `count` of them, and of one that is waited for.

    `run` takes a number of steps, and returns after the last has ended.
    """
    start = time.perf_counter()
    run(count)
    together = (time.perf_counter() - start) / count
    start = time.perf_counter()
    run(1)
    return {"seconds": together, "alone": time.perf_counter() - start}
