"""A process that times one implementation on request, so that several can take turns.

It reads one JSON object per line, {"task": "train" or "forward", "batch": n, "repeats": k}, and
answers each with a line {"seconds": [...]}. It imports the standard library alone, because it also
runs in the peers' environments.
"""

import json
import sys
import time
from collections.abc import Callable

Prepared = Callable[[], object]
"""Runs one step or one forward pass, and waits for its result."""


def serve(prepare: Callable[[str, int], Prepared]) -> None:
    """Answer requests until the input ends; call `prepare(task, batch)` once for each kind."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print to stderr instead
    prepared: dict[tuple[str, int], Prepared] = {}
    for line in sys.stdin:
        request = json.loads(line)
        kind = request["task"], request["batch"]
        if kind not in prepared:
            prepared[kind] = prepare(*kind)
            for _ in range(2):  # compilation and the first touch of memory
                prepared[kind]()
        seconds = []
        for _ in range(request["repeats"]):
            start = time.perf_counter()
            prepared[kind]()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)
