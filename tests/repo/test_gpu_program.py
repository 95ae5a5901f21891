"""The training step for a GPU: as it is lowered, and what the compiler makes of it.

The compiler is in packages of 0.4 GB, which the checks do not install: the ceilings are tested
where jax-cuda13-plugin is.
"""

import re

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from alexnet_jax.architectures import PAPER
from alexnet_jax.mesh import TOWER
from benchmarks import gpu_compile, gpu_specs, programs
from train.config.errors import BadInput


def test_the_step_for_a_gpu_has_no_scatter_but_those_of_the_loss():
    """These add one number per image to zeros, so that no two of them meet."""
    mesh = Mesh(np.array(jax.devices()[:1]), (TOWER,), axis_types=(AxisType.Auto,))

    def scatters(platform):
        program = programs.lowered_step(PAPER, 4, mesh, platform=platform).as_text()
        of_windows = program.count('"stablehlo.select_and_scatter"(')
        return re.findall(r'(?s)"stablehlo\.scatter"\(.*?\}\) : .*? -> (\S+)', program), of_windows

    of_the_loss = ["tensor<4x1xf32>", "tensor<4x1000xf32>"]
    assert scatters("cuda") == (of_the_loss, 0)
    assert scatters("tpu") == (of_the_loss, 6)  # native there: three pools of two towers


# By the compiler of jax-cuda13-plugin 0.12.0.1, with 2 to 4 % of room (docs/performance.md).
CEILINGS = {
    "train-float32": (170, 6.75),
    "train-bfloat16": (158, 4.6),
    "dense8-bfloat16": (180, 3.25),
}


@pytest.mark.skipif(not gpu_compile.has_compiler(), reason="jax-cuda13-plugin is not installed")
@pytest.mark.parametrize("variant", CEILINGS)
def test_kernels_and_bytes_of_the_step_stay_below_their_ceilings(variant):
    mesh = gpu_compile.described_gpus("h100", 8 if variant.startswith("dense8") else 1)
    lowered = gpu_compile.lower(PAPER, 128, variant, mesh)
    figures = gpu_compile.account(lowered, lowered.compile(), largest=1)
    kernels, gigabytes = CEILINGS[variant]
    assert figures["kernels"] <= kernels
    assert figures["GB read and written"] <= gigabytes
    assert figures["scatters"] == 1
    assert figures["select-and-scatters"] == figures["sorts"] == 0
    if mesh.size > 1:  # 0.8 of what it sends leaves while it computes
        assert figures["of these, while it computes"] > 0.8 * figures["MB sent"] > 0


PROGRAM = """HloModule m

%fused_move (param_0.1: f32[2,3]) -> bf16[3,2] {
  %param_0.1 = f32[2,3]{1,0} parameter(0)
  %t.1 = f32[3,2]{1,0} transpose(%param_0.1), dimensions={1,0}
  ROOT %c.1 = bf16[3,2]{1,0} convert(%t.1)
}

%fused_add (param_0.2: f32[2,3]) -> f32[2,3] {
  %param_0.2 = f32[2,3]{1,0} parameter(0)
  ROOT %a.1 = f32[2,3]{1,0} add(%param_0.2, %param_0.2)
}

ENTRY %main.1 (x.1: f32[2,3]) -> (f32[2,3], bf16[3,2]) {
  %x.1 = f32[2,3]{1,0} parameter(0)
  %loop_add_fusion = f32[2,3]{1,0} fusion(%x.1), kind=kLoop, calls=%fused_add
  %wrapped_transpose = bf16[3,2]{1,0} fusion(%loop_add_fusion), kind=kInput, calls=%fused_move
  ROOT %tuple.1 = (f32[2,3]{1,0}, bf16[3,2]{1,0}) tuple(%loop_add_fusion, %wrapped_transpose)
}
"""


class Compiled:
    """Stands for a compiled program."""

    argument_size_in_bytes = temp_size_in_bytes = 0

    def as_text(self):
        return PROGRAM

    def memory_analysis(self):
        return self


def test_an_account_counts_the_bytes_of_each_kernel_once():
    figures = gpu_compile.account(jax.jit(lambda x: x @ x).lower(np.eye(3)), Compiled(), 1)
    assert figures["kernels"] == 2
    assert figures["of these, only move or convert"] == 1
    assert figures["GB read and written"] == pytest.approx((24 + 24 + 24 + 12) / 1e9)
    assert figures["products, f32 DEFAULT"] == 1
    assert figures["largest"] == ["0 MB, loop_add_fusion: f32[2,3] of f32[2,3]"]


def test_products_are_counted_by_operands_and_precision():
    images, kernels = np.ones((1, 4, 4, 3), "float32"), np.ones((2, 2, 3, 5), "float32")

    def convolve(precision):
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernels, (1, 1), "VALID", dimension_numbers=axes, precision=precision
        )

    program = jax.jit(lambda: (convolve("highest"), convolve("default"))).lower().as_text()
    assert gpu_compile.products(program) == {
        "convolutions, f32 HIGHEST": 1,
        "convolutions, f32 DEFAULT": 1,
    }


def test_a_gpu_that_nobody_describes_is_refused(tmp_path):
    with pytest.raises(BadInput, match="h1000 is none of a100, h100, and no description to read"):
        gpu_specs.target_config("h1000")
    file = tmp_path / "own.txtpb"
    own = gpu_specs.target_config("a100")
    file.write_text(own)
    assert gpu_specs.target_config(str(file)) == own
    for wrong in ("", own.replace("core_count: 108", "core_count: 0")):
        file.write_text(wrong)
        with pytest.raises(BadInput, match="gives no core_count, or one that is not above 0"):
            gpu_specs.target_config(str(file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="it is not text"):
        gpu_specs.target_config(str(file))
