"""A GPU or TPU that JAX does not use is found in imitated machines, and told."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from train.runtime import accelerators

without_accelerator = pytest.mark.skipif(
    accelerators.find(os.environ) is not None, reason="JAX uses the GPU or TPU of this machine"
)
GPU, TPU = "dev/nvidia0", {"vendor": "0x1ae0", "device": "0x0063"}


def make_machine(root, *files, cards=()):
    """Imitate a machine: empty files, and cards on the PCI bus by their numbers."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    for i, card in enumerate(cards):
        folder = root / f"sys/bus/pci/devices/0000:00:{i:02}.{card.get('function', 0)}"
        folder.mkdir(parents=True)
        for name in ("vendor", "device"):
            (folder / name).write_text(card[name] + "\n")


def found(root, monkeypatch, **environment):
    monkeypatch.setattr(accelerators, "ROOT", root)
    accelerator = accelerators.find(environment)
    return accelerator and (accelerator.name, accelerator.extra)


@pytest.mark.parametrize(
    ("files", "environment"),
    [
        ([GPU], {}),
        (["dev/nvidia3", "dev/nvidiactl"], {}),  # a container with the fourth GPU of its machine
        (["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"], {}),  # WSL
        ([GPU], {"CUDA_VISIBLE_DEVICES": "0"}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "1,0"}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "MIG-GPU-8932f937/1/0"}),
        ([GPU, "dev/accel/accel0"], {}),  # beside another accelerator
    ],
)
def test_a_gpu_is_found(files, environment, tmp_path, monkeypatch):
    make_machine(tmp_path, *files)
    assert found(tmp_path, monkeypatch, **environment) == ("an NVIDIA GPU", "cuda13")


@pytest.mark.parametrize(
    ("files", "environment"),
    [
        ([], {}),
        (["dev/nvidiactl", "dev/nvidia-uvm"], {}),  # a container that was given no GPU
        (["dev/dxg", "usr/lib/wsl/lib/libdxcore.so"], {}),  # WSL on a machine without NVIDIA's
        (["dev/nvhost-gpu", "dev/nvmap"], {}),  # a Jetson, for which JAX has no plugin
        (["dev/kfd", "dev/dri/card0"], {}),  # AMD's
        (["dev/accel/accel0"], {}),  # Intel's or Habana's
        (["dev/vfio/vfio", "dev/vfio/0", "dev/kvm"], {}),  # a host of virtual machines
        ([GPU], {"CUDA_VISIBLE_DEVICES": ""}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "-1"}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "-1,0"}),
        ([GPU], {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}),  # SLURM's, for a job without a GPU
    ],
)
def test_what_is_no_gpu_or_is_hidden_is_not_found(files, environment, tmp_path, monkeypatch):
    make_machine(tmp_path, *files)
    assert found(tmp_path, monkeypatch, **environment) is None


@pytest.mark.parametrize(
    ("driver", "extra"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024", "cuda12"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release", "cuda13"),
        ("NVRM version: NVIDIA UNIX aarch64 Kernel Module  1015.2  Sun", "cuda13"),
        ("something else", "cuda13"),
    ],
)
def test_an_old_driver_gets_the_plugin_for_cuda_12(driver, extra, tmp_path, monkeypatch):
    make_machine(tmp_path, GPU, "proc/driver/nvidia/version")
    (tmp_path / "proc/driver/nvidia/version").write_text(f"{driver}\nGCC version:  12.3.0\n")
    assert found(tmp_path, monkeypatch) == ("an NVIDIA GPU", extra)


def test_chips_of_a_tpu_are_counted_by_their_pci_numbers(tmp_path, monkeypatch):
    network = {"vendor": "0x1ae0", "device": "0x0042"}  # Google's network card, in any machine
    other = {"vendor": "0x10de", "device": "0x0063"}
    second = TPU | {"function": 1}
    make_machine(tmp_path / "tpu", "dev/vfio/0", cards=[TPU, network, TPU, second])
    make_machine(tmp_path / "vm", "dev/vfio/0", cards=[network, other])
    assert found(tmp_path / "tpu", monkeypatch) == ("a TPU", "tpu")
    assert accelerators.count_tpu_chips() == 2
    assert found(tmp_path / "vm", monkeypatch) is None
    assert accelerators.count_tpu_chips() == 0


def test_the_sentence_names_the_line_that_installs_the_plugin():
    accelerator = accelerators.Accelerator("a TPU", "tpu", ("no-such-package",))
    assert accelerators.unused_sentence(accelerator) == (
        "this machine has a TPU, and JAX cannot use it as it is installed, so the CPU computes; "
        f"`pip install 'jax[tpu]=={metadata.version('jax')}'` mends that; "
        "JAX_PLATFORMS=cpu chooses the CPU without this warning"
    )


def test_a_plugin_that_is_installed_and_does_not_start_is_named():
    accelerator = accelerators.Accelerator("a TPU", "tpu", ("no-such-package", "numpy"))
    sentence = accelerators.unused_sentence(accelerator)
    assert f"although numpy {metadata.version('numpy')} is installed" in sentence


def start_beside(root, *lines, **environment):
    """What Python prints as an error on a machine with the files in `root`; its exit status."""
    code = "\n".join(
        [
            "import pathlib",
            "from train.runtime import accelerators, backend",
            f"accelerators.ROOT = pathlib.Path({str(root)!r})",
            *lines,
        ]
    )
    hidden = {"JAX_PLATFORMS", "JAX_PLATFORM_NAME", "CUDA_VISIBLE_DEVICES"}
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=inherited | environment
    )


@without_accelerator
@pytest.mark.parametrize(
    ("environment", "warnings"),
    [
        ({}, 1),
        ({"JAX_PLATFORMS": "cpu"}, 0),
        ({"JAX_PLATFORM_NAME": "cpu"}, 0),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
    ],
)
def test_an_unused_gpu_is_told_before_a_run_unless_the_cpu_was_chosen(
    environment, warnings, tmp_path
):
    make_machine(tmp_path, GPU)
    done = start_beside(tmp_path, "backend.set_up_devices(2)", **environment)
    assert done.returncode == 0
    assert done.stderr.count("warning: this machine has an NVIDIA GPU, and JAX ") == warnings


@without_accelerator
def test_a_platform_that_jax_cannot_start_is_refused_with_the_line_that_installs_it(tmp_path):
    make_machine(tmp_path, GPU)
    done = start_beside(
        tmp_path,
        "try: backend.set_up_devices(1)",
        "except backend.BadInput as error: print(error)",
        JAX_PLATFORMS="cuda",
    )
    assert done.stdout.startswith("JAX finds no device: ")
    assert "pip install 'jax[cuda13]==" in done.stdout
