"""What products are made in, for each kind of device: by JAX's documentation, and by its setting.

Devices that this machine lacks are imitated by their attributes.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from train.runtime.arithmetic import bfloat16_note, compiler_options, describe_products

CPU = jax.devices("cpu")[0]
TPU = SimpleNamespace(platform="tpu", device_kind="TPU v5 lite")
ROCM = SimpleNamespace(platform="gpu", device_kind="AMD Instinct", compute_capability="gfx942")

DETERMINISTIC = {"xla_gpu_deterministic_ops": True, "xla_gpu_enable_triton_gemm": False}


def gpu(capability, kind="a GPU"):
    return SimpleNamespace(platform="gpu", device_kind=kind, compute_capability=capability)


@pytest.mark.parametrize(
    ("device", "default", "highest"),
    [
        (CPU, "float32", "float32"),
        (gpu("7.0"), "float32", "float32"),  # V100
        (gpu("7.5"), "float32", "float32"),  # T4
        (gpu("8.0"), "TF32", "float32"),  # A100
        (gpu("8.9"), "TF32", "float32"),  # L4
        (gpu("9.0"), "TF32", "float32"),  # H100
        (gpu("10.0"), "TF32", "float32"),  # B200; as text, 10.0 comes before 8.0
        (TPU, "one bfloat16 pass", "six bfloat16 passes"),
        (ROCM, "XLA's default", "float32"),
    ],
)
def test_products_by_device(device, default, highest):
    assert describe_products("default", device) == default
    assert describe_products("highest", device) == highest
    assert describe_products("bfloat16", device) == "bfloat16"


@pytest.mark.parametrize(
    ("setting", "cpu", "h100", "tpu"),
    [
        ("default", "float32", "TF32", "one bfloat16 pass"),
        ("bfloat16", "float32", "TF32", "one bfloat16 pass"),
        ("tensorfloat32", "float32", "TF32", "three bfloat16 passes"),
        ("high", "float32", "TF32", "three bfloat16 passes"),
        ("float32", "float32", "float32", "six bfloat16 passes"),
        ("highest", "float32", "float32", "six bfloat16 passes"),
        ("BF16_BF16_F32_X3", *["the algorithm BF16_BF16_F32_X3"] * 3),
    ],
)
def test_the_default_is_jaxs_own_setting_and_the_others_are_not(setting, cpu, h100, tpu):
    with jax.default_matmul_precision(setting):
        products = [describe_products("default", one) for one in (CPU, gpu("9.0"), TPU)]
        assert products == [cpu, h100, tpu]
        assert describe_products("highest", gpu("9.0")) == "float32"
        assert describe_products("bfloat16", gpu("9.0")) == "bfloat16"


@pytest.mark.parametrize(
    ("capability", "kind"), [("7.5", "Tesla T4"), ("7.0", "Tesla V100-SXM2-16GB")]
)
def test_a_gpu_without_bfloat16_is_named_where_it_is_asked_for(capability, kind):
    note = bfloat16_note("bfloat16", gpu(capability, kind))
    assert note is not None
    assert note.startswith(f"note: {kind}, of compute capability {capability}, has no bfloat16")
    for precision in ("default", "highest"):
        assert bfloat16_note(precision, gpu(capability, kind)) is None


@pytest.mark.parametrize("device", [CPU, gpu("8.0"), gpu("9.0"), gpu("12.0"), TPU, ROCM])
def test_no_other_device_is_said_to_lack_bfloat16(device):
    assert bfloat16_note("bfloat16", device) is None


@pytest.mark.parametrize(
    ("device", "options"),
    [(CPU, None), (TPU, None), (gpu("9.0"), DETERMINISTIC)],
)
def test_only_a_gpu_is_asked_for_the_same_bits(device, options):
    mesh = SimpleNamespace(devices=np.array([[device]]))
    assert compiler_options(mesh, deterministic=True) == options
    assert compiler_options(mesh, deterministic=False) is None


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_xla_knows_each_option_and_refuses_another(name):
    """A CPU's XLA checks names, too: an unknown one is an error, where XLA_FLAGS end a process."""
    value = DETERMINISTIC[name]
    assert jax.jit(lambda x: x + 1, compiler_options={name: value})(1) == 2
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        jax.jit(lambda x: x + 2, compiler_options={f"{name}_not": value})(1)
