"""Whether a batch fits into the memory of a device, by the compiler's own analysis."""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from ..config.errors import BadInput
from .hlo import memory_usage

_CGROUP_LIMITS = (  # version 2 and 1; of a container, these are its own
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_EXHAUSTED = "RESOURCE_EXHAUSTED"


def compile_within_memory(
    compile_for: Callable[[int], Any], batch_size: int, limit: int | None, parts: int = 1
) -> jax.stages.Compiled:
    """Return the program of a step. Raises BadInput, with a batch size that fits, if it does not.

    Args:
      compile_for: returns the program for a batch size.
      batch_size: that was asked for.
      limit: bytes of one device, None if unknown.
      parts: into so many equal ones the mesh divides a batch.
    """
    compiled = functools.cache(lambda part: _compiled(compile_for, parts * part))
    most = float("inf") if limit is None else limit
    program = compiled(batch_size // parts)
    if program is not None and _bytes_needed(program) <= most:
        return program
    of_part = functools.partial(_largest_fitting, lambda n: _bytes_needed(compiled(n)))
    fits = parts * of_part(batch_size // parts, most)
    needs = "more memory than a device has"
    if program is not None and limit is not None:
        gibibytes = _bytes_needed(program) / 2**30
        needs = f"{gibibytes:.2f} GiB of memory on each device, which has {limit / 2**30:.2f}"
    advice = f"not even a batch of {parts} fits"
    if fits:
        advice = f"a new run with --batch-size {fits} would fit"
    raise BadInput(f"--batch-size {batch_size} needs {needs}; {advice}")


def memory_limit(mesh: Mesh) -> int | None:
    """Return the bytes that one device of the mesh may use, None if it does not say.

    Virtual devices of a CPU share what the machine, or its container, has.
    """
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return _host_memory() // mesh.devices.size
    return (device.memory_stats() or {}).get("bytes_limit")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has said that its memory is full."""
    return isinstance(error, jax.errors.JaxRuntimeError) and _EXHAUSTED in str(error)


def _compiled(compile_for: Callable[[int], Any], batch_size: int) -> Any:
    """The program; None if the compiler itself says that it cannot fit."""
    try:
        return compile_for(batch_size)
    except jax.errors.JaxRuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise


def _bytes_needed(program: Any) -> float:
    """Of arguments, results and all between, on one device."""
    if program is None:
        return float("inf")
    memory = memory_usage(program)
    if memory is None:
        return 0.0  # the platform cannot tell
    return float(memory.total)


def _largest_fitting(needed: Callable[[int], float], too_large: int, limit: float) -> int:
    """The largest part found to fit, 0 if none: memory grows almost in proportion to it."""
    small = too_large // 2
    while small and needed(small) > limit:
        too_large, small = small, small // 2
    if not small:
        return 0
    if needed(too_large) == float("inf"):
        return small
    growth = (needed(too_large) - needed(small)) / (too_large - small)
    guess = small + int((limit - needed(small)) / growth)
    return guess if small < guess < too_large and needed(guess) <= limit else small


def _host_memory() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" if there is none
            limits.append(int(path.read_text()))
    return min(limits)
