"""What must be set in the process before JAX starts its backend. Imports no JAX at the top."""

import contextlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from ..config.errors import BadInput


def use_huge_pages() -> None:
    """Begin the process anew with malloc on huge pages: 5 to 10 % of a step on a CPU.

    XLA takes memory for each step afresh, a third of a million pages of 4 kB for PAPER at batch
    128. The C library reads its settings at the start of a process only. Call it first of all, in
    a process that is the command. What the user has set stays; other systems than Linux ignore it.
    So does a session at a prompt, which would be lost: `%run -m train.main` of a notebook.
    """
    session = hasattr(sys, "ps1")
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ and not session:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def keep_compilations() -> None:
    """Let JAX keep compiled programs in the user's cache, unless told where or not to.

    There is a folder for each host: programs for a CPU need its instructions, and a home may be
    shared by a cluster.
    """
    import jax

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    homeless = cache.startswith("~")  # as users of some containers are
    told = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if told is None and not homeless:
        folder = Path(cache) / "alexnet_jax" / "xla" / platform.node()
        jax.config.update("jax_compilation_cache_dir", str(folder))


def prepare(devices: int, join: Callable[[], int | None] = lambda: 1) -> None:
    """Make `devices` devices available, and set what makes XLA safe and fast on a CPU.

    Must run before the first JAX computation. Values that the user has set in the environment
    stay. `join` makes this process one of several that share the devices, and returns how many if
    that is known. Raises BadInput if GPUs or TPUs are there, but too few.
    """
    jaxlib = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
    if jaxlib < (0, 12):
        # Up to 0.11 virtual CPU devices share a pool with one thread for each core, and wait for
        # each other in it: collectives deadlock as soon as steps are dispatched ahead.
        os.environ.setdefault("PJRT_NPROC", str(max(8, 4 * devices)))
    flags = os.environ.get("XLA_FLAGS", "")
    if jaxlib >= (0, 10) and "xla_cpu_experimental_ynn_fusion_type" not in flags:
        # YNNPACK's fusions slow the convolutions down, by 15 % over a step. Before 0.10 the flag
        # does not exist, and an unknown flag ends the process.
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_experimental_ynn_fusion_type=".strip()

    from absl import logging

    # Grain warns of old versions of jaxlib, Orbax of every checkpoint without an evaluation; and
    # before Orbax raises what has failed in the background, it logs all of it.
    logging.set_verbosity(logging.FATAL)

    import jax

    forced = "xla_force_host_platform_device_count" in flags or os.environ.get(
        "JAX_NUM_CPU_DEVICES"
    )
    processes = join()
    if devices > 1 and processes and not forced:
        # It raises where JAX has begun, as in a notebook, with those it has.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices // processes)
    try:
        found = jax.devices()
    except RuntimeError as error:
        raise BadInput(f"JAX finds no device: {str(error).splitlines()[0]}") from None
    if len(found) < devices:
        kind = found[0].platform
        hint = "JAX_PLATFORMS=cpu trains on virtual devices of the CPU"
        if kind == "cpu":
            hint = "JAX_NUM_CPU_DEVICES or XLA_FLAGS in the environment sets that number"
        raise BadInput(f"--devices {devices}: JAX finds {len(found)} {kind.upper()} only; {hint}")
