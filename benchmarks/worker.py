"""A process that times one implementation when it is told to, so that several can take turns.

It reads a JSON object a line, {"task": "train" or "forward", "batch": n, "repeats": k}, and answers
each with a line {"seconds": [...]}. Imports nothing outside Python, for it runs in the peers'
environments too.
"""

import json
import sys
import time
from collections.abc import Callable

Prepared = Callable[[], object]
"""Runs one step, or one forward pass, to the end of its computation."""


def serve(prepare: Callable[[str, int], Prepared]) -> None:
    """Answer requests until the input ends; `prepare(task, batch)` is called once for each kind."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
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
