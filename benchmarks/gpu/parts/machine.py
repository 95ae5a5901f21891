"""The machine: card, driver, versions, and whether all that the project imports is there."""

import importlib.metadata
import os
import platform
import sys

from benchmarks.children import RequestFailed, WorkerGone
from benchmarks.gpu.check import Check
from train.config.errors import BadInput

_PACKAGES = (  # by the beginnings of their names
    *("alexnet", "array", "flax", "grain", "jax", "numpy", "nvidia", "optax", "orbax", "pillow"),
    *("protobuf", "simplejpeg", "tensorboardx", "torch", "triton"),
)
_NVIDIA_SMI = "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit"


def run(check: Check) -> None:
    """Keep what is there. Raises BadInput if JAX finds no card, except in a dry run."""
    packages = {
        f"{distribution.name} {distribution.version}"
        for distribution in importlib.metadata.distributions()
        if distribution.name.lower().startswith(_PACKAGES)
    }
    found = {
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "packages": sorted(packages),
        "nvidia_smi": _output(check, "nvidia-smi", _NVIDIA_SMI, "--format=csv"),
        "commit": _output(check, "git", "rev-parse", "HEAD"),
    }
    check.keep("machine", found)
    with check.ours() as worker:
        try:
            found["jax"] = worker.ask("about", check.seconds_left())
        except (RequestFailed, WorkerGone) as error:
            raise BadInput(f"JAX does not start: {error}; {check.log_path} says why") from None
    check.keep("machine", found)
    jax = found["jax"]
    check.say(f"machine: {jax['device_kind']}, {found['cpus']} CPUs, jax {jax['jax']}")
    if jax["platform"] == "cpu" and not check.dry:
        raise BadInput("JAX finds no card here; --dry tries the check itself, small, on a CPU")


def _output(check: Check, *command: str) -> str:
    try:
        finished = check.run(*command)
    except FileNotFoundError:
        return f"no {command[0]} here"
    return (finished.output or finished.errors).strip()
