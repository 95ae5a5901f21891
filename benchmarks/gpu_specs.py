"""Descriptions of GPUs for XLA's compiler, from NVIDIA's published figures.

The limits of a compute capability are those of the CUDA C++ Programming Guide ("Technical
Specifications per Compute Capability"), the rest those of the data sheets of A100 SXM 80 GB and
H100 SXM. XLA's own files, as `h100_sxm.txtpb` in its repository, say more.
"""

import re
from pathlib import Path
from typing import NamedTuple

from train.config.errors import BadInput


class Spec(NamedTuple):
    """What distinguishes one GPU from another for the compiler."""

    name: str
    capability: int  # major
    multiprocessors: int
    float32_units: int  # of each multiprocessor
    clock: float  # GHz, boost
    bandwidth: float  # bytes a second
    memory: int  # bytes
    l2_cache: int  # bytes
    shared_memory: int  # bytes of each multiprocessor
    shared_memory_per_block: int  # bytes at most


SPECS = {
    "a100": Spec(
        "NVIDIA A100", 8, 108, 64, 1.41, 2.039e12, 80 << 30, 40 << 20, 164 << 10, 163 << 10
    ),
    "h100": Spec(
        "NVIDIA H100", 9, 132, 128, 1.98, 3.352e12, 80 << 30, 50 << 20, 228 << 10, 227 << 10
    ),
}


def target_config(spec: str) -> str:
    """Return XLA's `GpuTargetConfigProto` as text: of a GPU in SPECS, or a file's own.

    Raises BadInput for a file that cannot be read, or lacks a figure that ours have.
    """
    if spec in SPECS:
        return _as_text(SPECS[spec])
    try:
        text = Path(spec).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadInput(
            f"{spec} is none of {', '.join(SPECS)}, and no description to read: {reason}"
        ) from None
    for field in re.findall(r"(\w{6,}): \d", _as_text(SPECS["h100"])):
        # XLA divides by some of these, which ends the process.
        if not re.search(rf"\b{field}: *0*\.?0*[1-9]", text):
            raise BadInput(f"{spec} gives no {field}, or one that is not above 0")
    return text


def _as_text(gpu: Spec) -> str:
    return f"""
    platform_name: "CUDA"
    device_description_str: "{gpu.name}"
    dnn_version_info {{ major: 9 minor: 10 }}
    gpu_device_info {{
      cuda_compute_capability {{ major: {gpu.capability} }}
      core_count: {gpu.multiprocessors}
      fpus_per_core: {gpu.float32_units}
      clock_rate_ghz: {gpu.clock}
      memory_bandwidth: {gpu.bandwidth:.0f}
      device_memory_size: {gpu.memory}
      l2_cache_size: {gpu.l2_cache}
      shared_memory_per_core: {gpu.shared_memory}
      shared_memory_per_block: {48 << 10}
      shared_memory_per_block_optin: {gpu.shared_memory_per_block}
      registers_per_core_limit: 65536
      registers_per_block_limit: 65536
      threads_per_warp: 32
      threads_per_block_limit: 1024
      threads_per_core_limit: 2048
      block_dim_limit_x: 2147483647
      block_dim_limit_y: 65535
      block_dim_limit_z: 65535
      thread_dim_limit_x: 1024
      thread_dim_limit_y: 1024
      thread_dim_limit_z: 64
    }}
    """
