"""The kernels of a training step by time, from JAX's profiler."""

import glob
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

_LONGEST = 15


def kernels(run: Callable[[], object], steps: int, file: Path) -> dict[str, Any]:
    """Profile `run`, which takes some steps; write all kernels to `file`, return the longest.

    Times are milliseconds a step. The time of the device is the sum over its kernels; where the
    clock shows more, the device has waited.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            run()
            wall = time.perf_counter() - start
        [path] = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        data = jax.profiler.ProfileData.from_file(path)
        milliseconds: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        for event in _device_events(data):
            milliseconds[event.name] += event.duration_ns / 1e6 / steps
            counts[event.name] += 1
    names = sorted(milliseconds, key=lambda name: -milliseconds[name])
    rows = [
        {"kernel": name, "ms": milliseconds[name], "per_step": counts[name] / steps}
        for name in names
    ]
    file.write_text(json.dumps(rows, indent=1) + "\n")
    return {
        "clock_ms": 1e3 * wall / steps,
        "device_ms": sum(milliseconds.values()),
        "kernels_per_step": sum(counts.values()) / steps,
        "longest": rows[:_LONGEST],
        "all": file.name,
    }


def _device_events(data: Any) -> Iterator[Any]:
    """Yield the kernels that the first device has run, each once.

    A GPU's kernels are on the lines of its streams, a TPU's on that of its operations, and those
    of a CPU on the lines of its threads, among other events.
    """
    planes = {plane.name: plane for plane in data.planes}
    device = next((name for name in sorted(planes) if name.startswith("/device:")), None)
    if device is None:
        for line in planes["/host:CPU"].lines:
            yield from (event for event in line.events if dict(event.stats).get("hlo_op"))
        return
    lines = {line.name: line for line in planes[device].lines}
    streams = [name for name in lines if name.startswith("Stream")]
    for name in streams or ["XLA Ops"]:
        yield from lines[name].events
