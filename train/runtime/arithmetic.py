"""The arithmetic of a device: what products are made in, and whether a step repeats bit for bit.

What JAX calls float32 is rounded further on most accelerators, before each product:
https://docs.jax.dev/en/latest/201/precision.html and `jax.lax.Precision`. Sums stay in float32.
"""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

_LEVELS = {
    "default": "default",
    "bfloat16": "default",
    "high": "high",
    "tensorfloat32": "high",
    "highest": "highest",
    "float32": "highest",
}
"""The levels of `jax.lax.Precision` by the names that jax_default_matmul_precision gives them."""

_TPU_PRODUCTS = {
    "default": "one bfloat16 pass",
    "high": "three bfloat16 passes",
    "highest": "six bfloat16 passes",
}
_AMPERE = (8, 0)
"""The first compute capability with TF32 and bfloat16."""


class Arithmetic(NamedTuple):
    """What a run computes on and in, from a step on; config.json keeps one for each change."""

    from_step: int
    device: str
    """The kind of device, as "NVIDIA H100 80GB HBM3"."""
    products: str
    """What `describe_products` returns."""


def describe_products(precision: str, device: Any) -> str:
    """Return what the products of a training step are made in: "float32", "TF32", "bfloat16" ...

    Args:
      precision: of the run, "default", "highest" or "bfloat16". With "default", JAX's setting
        jax_default_matmul_precision counts, which the user may have made.
      device: a `jax.Device` that computes them.
    """
    if precision == "bfloat16":
        return "bfloat16"
    setting = jax.config.jax_default_matmul_precision or "default"
    level = "highest" if precision == "highest" else _LEVELS.get(setting)
    capability = _compute_capability(device)
    match device.platform:
        case _ if level is None:
            return f"the algorithm {setting}"
        case "tpu":
            return _TPU_PRODUCTS[level]
        case "gpu" if level != "highest":
            if capability is None:
                return "XLA's default"  # of a card that is not NVIDIA's
            return "TF32" if capability >= _AMPERE else "float32"
    return "float32"


def bfloat16_note(precision: str, device: Any) -> str | None:
    """Return a sentence if bfloat16 is asked of a GPU that does not have it, else None.

    Args:
      precision: of the run.
      device: a `jax.Device` that computes it.
    """
    capability = _compute_capability(device)
    if precision != "bfloat16" or capability is None or capability >= _AMPERE:
        return None
    return (
        f"note: {device.device_kind}, of compute capability {device.compute_capability}, has no "
        "bfloat16 arithmetic, which began with 8.0: the precision bfloat16 works, but gains "
        "nothing; default computes in float32"
    )


def _compute_capability(device: Any) -> tuple[int, ...] | None:
    """The compute capability of an NVIDIA GPU, as (7, 5); None of any other device."""
    parts = str(getattr(device, "compute_capability", "")).split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


def compiler_options(mesh: Mesh, *, deterministic: bool) -> dict[str, bool] | None:
    """Return what `jax.jit` tells XLA so that a program gives the same bits each time.

    On a CPU or TPU there is nothing to tell. On a GPU, XLA then leaves out operations whose order
    of sums is open, and does not choose algorithms by timing them, which may end differently in
    each process (https://openxla.org/xla/determinism). Options of the program, unlike XLA_FLAGS,
    also hold where the backend has started already.
    """
    if deterministic and mesh.devices.flat[0].platform == "gpu":
        # Without timing, XLA has no configuration for products in Triton ("Failed to get configs",
        # JAX 0.11.2, compiled for an H100 ahead of time); cuBLAS has a default algorithm.
        return {"xla_gpu_deterministic_ops": True, "xla_gpu_enable_triton_gemm": False}
    return None
