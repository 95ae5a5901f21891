"""Settings of the process that must precede the start of JAX's backend. Imports JAX late."""

import collections
import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..config.errors import BadInput
from . import accelerators


def restart_with_huge_pages() -> None:
    """Execute the command again with malloc on huge pages, which saves 5 to 10 % of a CPU step.

    XLA allocates the memory of each step anew: for PAPER at batch 128, a third of a million pages
    of 4 kB. The C library reads its settings only when a process starts, so call this first, in a
    process that is the command. It does nothing if the user has set GLIBC_TUNABLES, on systems
    other than Linux, and in an interactive session (`%run -m train.main` in a notebook), whose
    variables would be lost.
    """
    interactive = hasattr(sys, "ps1")
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ and not interactive:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextlib.contextmanager
def without_x64() -> Iterator[None]:
    """Compute with JAX's defaults of 32 bits, also where JAX_ENABLE_X64 or a notebook widened them.

    With 64 bits the random numbers of a run would be others, and a scalar widens its state.
    """
    import jax

    if hasattr(jax, "enable_x64"):
        context = jax.enable_x64(False)
    else:
        from jax import experimental

        context = experimental.disable_x64()  # pyright: ignore[reportAttributeAccessIssue] - older
    with context:
        yield


def set_up_devices(
    devices: int, join: Callable[[], int | None] = lambda: 1, *, batch_norm: bool | None = None
) -> None:
    """Start JAX with `devices` devices, and with settings that make XLA safe and fast on a CPU.

    Must precede the first JAX computation. Values that the user has set in the environment stay.
    A warning tells of a GPU or TPU that JAX does not use, unless JAX_PLATFORMS chooses the CPU.

    Args:
      devices: of all processes together; on a CPU they are virtual.
      join: makes this process one of several, and returns how many there are, None if unknown.
      batch_norm: whether the network to be trained has batch normalization; None if none is.

    Raises BadInput if JAX finds fewer devices.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    _set_variables(devices, batch_norm)

    from absl import logging

    # Orbax warns about each checkpoint without an evaluation, and logs every background failure in
    # full before it raises it.
    logging.set_verbosity(logging.FATAL)

    import jax

    forced = "xla_force_host_platform_device_count" in flags or os.environ.get(
        "JAX_NUM_CPU_DEVICES"
    )
    processes = join()
    if devices > 1 and processes and not forced:
        # Raises if the backend has started, as in a notebook; then its devices have to do.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", devices // processes)
    available, unused = _start_backend(), _unused_accelerator()
    if available[0].platform == "cpu" and unused and jax.process_index() == 0:
        print(f"warning: {accelerators.unused_sentence(unused)}", file=sys.stderr, flush=True)
    _check_devices(devices, available)


def _set_variables(devices: int, batch_norm: bool | None) -> None:
    """Set the environment that XLA reads when its backend starts."""
    jaxlib = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
    if jaxlib < (0, 12):
        # Up to jaxlib 0.11 the virtual CPU devices share a pool of one thread per core, and wait
        # in it for each other: collectives deadlock as soon as steps are dispatched ahead. Four
        # threads a device, and eight at least, leave room for those that wait.
        os.environ.setdefault("PJRT_NPROC", str(max(8, 4 * devices)))
    flags = os.environ.get("XLA_FLAGS", "")
    if jaxlib >= (0, 10) and "xla_cpu_experimental_ynn_fusion_type" not in flags:
        # YNNPACK's fusions slow convolutions down, by 15 % of a step. Its products halve the time
        # of the dense layers for few images (alexnet_jax.ops.layers), and alone slow the paper's
        # step down by 7 %. Its sums over batch and pixels halve the step of a network with batch
        # normalization, and slow down the paper's by 5 %. All were measured with 0.12. The flag
        # exists since 0.10; an unknown flag or value would end the process.
        fusions = {None: "INDIVIDUAL_DOT", True: "REDUCE", False: None}[batch_norm]
        kinds = f"LIBRARY_FUSION_TYPE_{fusions}" if fusions and jaxlib >= (0, 12) else ""
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_experimental_ynn_fusion_type={kinds}".strip()


def _start_backend() -> Sequence[Any]:
    """Return JAX's devices. Raises BadInput if there are none."""
    import jax

    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter without a word
        platforms = f"none of the platform {jax.config.jax_platforms}"
        cause = (str(error) or platforms).splitlines()[0]
        unused = _unused_accelerator()
        hint = f"; {accelerators.unused_sentence(unused)}" if unused else ""
        raise BadInput(f"JAX finds no device: {cause}{hint}") from None


def _unused_accelerator() -> accelerators.Accelerator | None:
    """Return the machine's GPU or TPU, as JAX does not use it; None if the user chose the CPU."""
    import jax

    chosen = jax.config.jax_platforms or os.environ.get("JAX_PLATFORM_NAME")
    return None if chosen == "cpu" else accelerators.find(os.environ)


def _check_devices(devices: int, available: Sequence[Any]) -> None:
    """Raise BadInput if there are fewer devices, or not as many for each process."""
    counts = collections.Counter(device.process_index for device in available)
    if len({*counts.values()}) > 1:
        listed = ", ".join(str(counts[index]) for index in sorted(counts))
        raise BadInput(
            f"the processes have {listed} devices; start all of them with the same `devices`"
        )
    if len(available) < devices:
        kind = available[0].platform
        hint = "JAX_NUM_CPU_DEVICES or XLA_FLAGS in the environment sets that number"
        if kind != "cpu":
            fewer = max(1, len(available) // 2 * 2)  # two towers need one device or pairs of them
            hint = (
                f"`devices` {fewer} computes the same numbers, and JAX_PLATFORMS=cpu makes "
                f"{devices} virtual devices of the CPU"
            )
        count = f"{len(available)} {kind.upper()}"
        raise BadInput(f"`devices` {devices}: JAX finds {count} only; {hint}")
