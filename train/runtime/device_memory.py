"""Check that a batch fits into the memory of a device, by the compiler's own analysis."""

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

_CGROUP_LIMITS = (  # of versions 2 and 1; a container sees its own limit there
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_EXHAUSTED = "RESOURCE_EXHAUSTED"


def compile_within_memory(
    compile_for: Callable[[int], Any],
    batch_size: int,
    limit: int | None,
    parts: int = 1,
    *,
    image_bytes: int = 0,
) -> jax.stages.Compiled:
    """Return the compiled program of a step.

    Args:
      compile_for: returns the program for a batch size.
      batch_size: of the run.
      limit: bytes of one device, None if unknown.
      parts: the number of equal shards that the mesh divides a batch into.
      image_bytes: of an image as the step takes it. Where the images of a shard alone exceed
        `limit`, nothing is compiled: that would take minutes.

    Raises BadInput, which names a batch size that fits, if the program needs more memory.
    """
    available = float("inf") if limit is None else limit

    @functools.cache
    def compile_shard(size: int) -> Any:
        return _try_compile(compile_for, parts * size) if size * image_bytes <= available else None

    shard_size = batch_size // parts
    program = compile_shard(shard_size)
    if program is not None and _bytes_needed(program) <= available:
        return program
    largest = _largest_fitting(lambda n: _bytes_needed(compile_shard(n)), shard_size, available)
    needs = "more memory than a device has"
    if program is not None and limit is not None:
        gibibytes = _bytes_needed(program) / 2**30
        needs = f"{gibibytes:.2f} GiB of memory on each device, which has {limit / 2**30:.2f}"
    advice = f"not even a batch of {parts} fits"
    if largest:
        advice = f"a new run with `batch_size` {parts * largest} would fit"
    raise BadInput(f"`batch_size` {batch_size} needs {needs}; {advice}")


def memory_limit(mesh: Mesh) -> int | None:
    """Return the bytes that one device of the mesh may use, None if the platform does not tell.

    Virtual devices of a CPU share the memory of the machine, or of its container.
    """
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return _host_memory() // mesh.devices.size
    return (device.memory_stats() or {}).get("bytes_limit")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that the memory of a device is full."""
    return isinstance(error, jax.errors.JaxRuntimeError) and _EXHAUSTED in str(error)


def _try_compile(compile_for: Callable[[int], Any], batch_size: int) -> Any:
    """Return the program, None if the compiler itself says that it cannot fit."""
    try:
        return compile_for(batch_size)
    except jax.errors.JaxRuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise


def _bytes_needed(program: Any) -> float:
    """Return the bytes of arguments, temporaries and results on one device."""
    if program is None:
        return float("inf")
    memory = memory_usage(program)
    if memory is None:
        return 0.0  # the platform does not tell
    return float(memory.total)


def _largest_fitting(bytes_for: Callable[[int], float], too_large: int, limit: float) -> int:
    """Return a size below `too_large` that fits, close to the largest, 0 if none does.

    Halves the size until it fits, then interpolates once, because memory grows almost linearly.
    """
    small = too_large // 2
    while small and bytes_for(small) > limit:
        too_large, small = small, small // 2
    if not small:
        return 0
    if bytes_for(too_large) == float("inf"):
        return small
    growth = (bytes_for(too_large) - bytes_for(small)) / (too_large - small)
    guess = small + int((limit - bytes_for(small)) / growth)
    return guess if small < guess < too_large and bytes_for(guess) <= limit else small


def _host_memory() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" without a limit
            limits.append(int(path.read_text()))
    return min(limits)
