"""Find the GPUs and TPUs of this machine without JAX, which sees none that it has no plugin for."""

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")

_TPU_VENDOR = "0x1ae0"
"""Google's, also that of the network card of its virtual machines."""

_TPU_DEVICES = {
    *("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076", "0x007c", "0x0083")
}
"""PCI numbers of TPUs, v2 to v8, from jax/_src/hardware_utils.py of JAX 0.12."""

_CUDA_13_DRIVER = 580
"""The oldest driver of NVIDIA's that runs CUDA 13; JAX's other plugin is for CUDA 12."""


class Accelerator(NamedTuple):
    """Hardware, and the packages that let JAX use it."""

    name: str
    extra: str
    """Of the package jax."""
    plugins: tuple[str, ...]
    """Packages of which JAX needs one."""

    @property
    def installed(self) -> str:
        """The plugin that is installed and its version; "" if none is."""
        for plugin in self.plugins:
            try:
                return f"{plugin} {importlib.metadata.version(plugin)}"
            except importlib.metadata.PackageNotFoundError:
                continue
        return ""

    @property
    def install_line(self) -> str:
        """The command that adds the plugin for the installed version of JAX."""
        return f"pip install 'jax[{self.extra}]=={importlib.metadata.version('jax')}'"


def find(environment: Mapping[str, str]) -> Accelerator | None:
    """Return the NVIDIA GPU or TPU of this machine, None without one that JAX may use.

    A GPU that `CUDA_VISIBLE_DEVICES` hides is not found.
    """
    if _has_nvidia_gpu() and not _is_hidden(environment):
        extra = "cuda12" if 0 < _driver() < _CUDA_13_DRIVER else "cuda13"
        return Accelerator("an NVIDIA GPU", extra, ("jax-cuda13-plugin", "jax-cuda12-plugin"))
    if count_tpu_chips():
        return Accelerator("a TPU", "tpu", ("libtpu",))
    return None


def count_tpu_chips() -> int:
    """Return the number of TPU chips in this machine; a chip may be two devices of JAX."""
    return sum(
        _read(vendor) == _TPU_VENDOR and _read(vendor.with_name("device")) in _TPU_DEVICES
        # Function 0 of a card stands for all of it.
        for vendor in ROOT.glob("sys/bus/pci/devices/*.0/vendor")
    )


def unused_sentence(accelerator: Accelerator) -> str:
    """Return what to tell a user whose `accelerator` JAX does not use."""
    if accelerator.installed:
        cause = f"JAX does not use it, although {accelerator.installed} is installed"
        cure = f"JAX's own message tells why, and `{accelerator.install_line}` installs it anew"
    else:
        cause = "JAX cannot use it as it is installed"
        cure = f"`{accelerator.install_line}` mends that"
    return (
        f"this machine has {accelerator.name}, and {cause}, so the CPU computes; {cure}; "
        "JAX_PLATFORMS=cpu chooses the CPU without this warning"
    )


def _has_nvidia_gpu() -> bool:
    # A container without a GPU may have nvidiactl, WSL without an NVIDIA driver has dxg.
    in_wsl = (ROOT / "dev/dxg").exists() and any(ROOT.glob("usr/lib/wsl/lib/libcuda.so*"))
    return in_wsl or any(ROOT.glob("dev/nvidia[0-9]*"))


def _is_hidden(environment: Mapping[str, str]) -> bool:
    """Whether CUDA_VISIBLE_DEVICES begins with no device: CUDA ignores all that follow it."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and not re.match(r"\s*(\d|GPU-|MIG-)", visible)


def _driver() -> int:
    """Return the major version of NVIDIA's driver, 0 if nothing tells it, as in WSL."""
    version = re.search(r"\s(\d{3,4})\.\d+", _read(ROOT / "proc/driver/nvidia/version"))
    return int(version[1]) if version else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
