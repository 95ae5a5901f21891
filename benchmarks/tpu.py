"""The training step compiled for a TPU, without having one: `python -m benchmarks.tpu`.

The compiler of the package `libtpu` compiles the training step ahead of time for TPU v5e. All
figures are of one device and one step; nothing is run. The time is the compiler's own estimate:
`estimated_cycles` of every instruction, times the rounds of the loops around it, at the chip's
clock. It has no estimate for collectives, copies between memories and the gradient of max pooling
(`select-and-scatter`), so it serves to compare programs only. `optimal_seconds` of the cost
analysis is negative here, and its operations and bytes count a loop's body once.
"""

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks import programs
from benchmarks.programs import Instruction
from train.config.errors import BadInput
from train.runtime.cli import make_parser, new_file, positive, run_command
from train.runtime.hlo import SENT

if TYPE_CHECKING:  # JAX itself waits until the environment is prepared
    from alexnet_jax import Architecture

CLOCK = 1.5e9  # Hz: 197e12 operations a second are 4 x 128 x 128 multiply-adds a cycle
LAYOUTS = {  # chips, and the axes of a mesh of the first of them
    "split": ("v5e:2x2", {"tower": 2}),
    "joined": ("v5e:2x2", {"tower": 1}),  # a list of towers on one chip
    "grouped": ("v5e:2x2", {"tower": 1}),  # one array of both
    "data8": ("v5e:2x4", {"data": 8}),
    "dense8": ("v5e:2x4", {"dense": 8}),
    "dense64": ("v5e:8x8", {"data": 8, "dense": 8}),
}
VARIANTS = [f"{layout}-{precision}" for layout in LAYOUTS for precision in ("float32", "bfloat16")]
DEFAULT = [name for name in VARIANTS if name.startswith(("split", "joined", "grouped"))]


def main(argv: list[str] | None = None) -> None:
    """Compile every variant, and print the compiler's figures."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument(
        "--batch-size",
        type=positive,
        default=128,
        help="images of each device; a tower on each of two takes the same (%(default)s)",
    )
    flags.add_argument(
        "--variants",
        default=",".join(DEFAULT),
        help=f"of {', '.join(VARIANTS)}; by default those of one and two chips",
    )
    flags.add_argument(
        "--slowest", type=positive, default=4, help="instructions to list per variant"
    )
    flags.add_argument("--json", type=new_file, help="write the figures here")
    flags.add_argument("--hlo", type=Path, help="write the compiled programs into this folder")
    arguments = flags.parse_args(argv)
    variants = arguments.variants.split(",")
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise BadInput(f"{unknown[0]} is none of {', '.join(VARIANTS)}")

    start_compiler()
    from alexnet_jax.architectures import PAPER

    results = {}
    for variant in variants:
        devices = find_devices(variant)
        program = lowered_step(PAPER, arguments.batch_size, variant, devices).compile()
        results[variant] = figures(program, PAPER, arguments.slowest)
        if arguments.hlo:
            arguments.hlo.mkdir(parents=True, exist_ok=True)
            (arguments.hlo / f"{variant}.txt").write_text(program.as_text())
    title = f"PAPER, {arguments.batch_size} images, each device of a v5e"
    programs.report(title, results, lists="slowest", decimals=1)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


def start_compiler() -> None:
    """Prepare the process for the compiler of TPUs. Raises BadInput without it."""
    if importlib.util.find_spec("libtpu") is None:
        raise BadInput("the compiler for TPUs is missing: install the PyPI package libtpu")
    os.environ["JAX_PLATFORMS"] = "cpu"  # otherwise JAX finds libtpu and waits for a TPU
    # Compiling takes no TPU: another process that holds libtpu's lock is not in the way.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # there is no metadata server either
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    from train.runtime import backend

    backend.set_up_devices(1)


def find_devices(variant: str) -> list:
    """Return the devices of a variant's described TPU. Raises BadInput if its compiler refuses."""
    from jax.experimental import topologies

    topology, _ = LAYOUTS[variant.split("-")[0]]
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except RuntimeError as error:
        raise BadInput(f"libtpu does not start: {str(error).splitlines()[0]}") from None


def lowered_step(net: "Architecture", batch: int, variant: str, devices: list):
    """Lower the step of `train.main`, for `batch` images of each device that divides them.

    "grouped" replaces its forward pass.
    """
    import jax
    from jax.sharding import AxisType

    import alexnet_jax
    from alexnet_jax.towers import num_batch_shards

    layout, precision = variant.split("-")
    _, axes = LAYOUTS[layout]
    types = (AxisType.Auto,) * len(axes)
    mesh = jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=types, devices=devices)
    forward = grouped if layout == "grouped" else alexnet_jax.apply_train
    with mock.patch.object(alexnet_jax, "apply_train", forward):
        return programs.lowered_step(net, batch * num_batch_shards(mesh), mesh, precision)


def grouped(params, images, dropout_key, *, architecture: "Architecture", mesh=None):
    """Compute the same as `apply_train`, with the maps of all towers in one array throughout.

    Only for networks without batch normalization.
    """
    del mesh  # a single device
    from jax import lax

    from alexnet_jax.forward import run_layer
    from alexnet_jax.layer_specs import Conv, ResponseNorm
    from alexnet_jax.ops.layers import add_biases
    from alexnet_jax.towers import Towers

    x, towers = images.astype(params["conv1"].weights.dtype), architecture.towers
    for info in architecture.layer_info(images.shape[1]):
        spec = info.spec
        if isinstance(spec, Conv) and not info.replicated_in:
            x = lax.conv_general_dilated(
                x,
                params[info.name].weights,
                window_strides=[spec.stride] * 2,
                padding=[spec.padding] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=towers,
            )
            x = add_biases(x, params[info.name].biases)
        elif isinstance(spec, ResponseNorm):  # its windows stay within a tower
            by_tower = x.reshape(*x.shape[:-1], towers, x.shape[-1] // towers)
            x = run_layer(info, params, [by_tower], None, Towers(1))[0].reshape(x.shape)
        else:
            [x] = run_layer(info, params, [x], dropout_key, Towers(1))
    return x, {}


def updates(run: list[Instruction], arrays: int) -> str:
    """Count the parameter arrays whose new value and velocity one fusion computes: "16 of 16".

    Such an update reads and writes each array once. For weights, the fusion also contains the
    product that computes their gradient, which is then never stored in memory.
    """
    by_name = {instruction.name: instruction for instruction in run}

    def source(name: str) -> Instruction:
        instruction = by_name[name]
        moved = instruction.op in (
            "get-tuple-element",
            "bitcast",
            "copy",
            "copy-start",
            "copy-done",
        )
        return source(instruction.operands[0]) if moved else instruction

    _, *leaves = (source(name) for name in run[-1].operands)  # the first is the step number
    pairs = zip(leaves[:arrays], leaves[arrays : 2 * arrays], strict=True)
    return f"{sum(a is b and a.op == 'fusion' for a, b in pairs)} of {arrays}"


def figures(program, net: "Architecture", slowest: int) -> dict[str, Any]:
    """Return the compiler's figures of a program, and those counted in its instructions."""
    run = programs.instructions(program.as_text())
    memory, cost = program.memory_analysis(), program.cost_analysis()
    result: dict[str, Any] = {}
    for kind in SENT:
        if collectives := [i for i in run if i.collective == kind]:
            result[kind] = sum(i.rounds for i in collectives)
            result[f"MB sent by {kind}"] = sum(i.sent for i in collectives) / 1e6
    result |= programs.megabytes_sent(program.as_text())
    cycles = sum(instruction.cycles for instruction in run)
    arrays = 2 * sum(info.weight_shape is not None for info in net.layer_info())
    return result | {
        "MB of arguments": memory.argument_size_in_bytes / 1e6,
        "MB of outputs": memory.output_size_in_bytes / 1e6,
        "MB of these in arguments": memory.alias_size_in_bytes / 1e6,
        "MB of temporaries": memory.temp_size_in_bytes / 1e6,
        "GFLOP": cost["flops"] / 1e9,
        "GB accessed": cost["bytes accessed"] / 1e9,
        "updates in one fusion": updates(run, arrays),
        "million cycles": cycles / 1e6,
        "ms": 1e3 * cycles / CLOCK,
        "slowest": [describe(i) for i in sorted(run, key=lambda i: -i.cycles)[:slowest]],
    }


def describe(instruction: Instruction) -> str:
    """Return a line on an instruction: time, rounds, result and the JAX operation it is from."""
    arrays = programs.arrays(instruction.type)
    source = re.search(r'op_name="jit\(train_step\)/([^"]*)"', instruction.rest)
    where = source[1] if source else instruction.name
    milliseconds = 1e3 * instruction.cycles / CLOCK
    return f"{milliseconds:.2f} ms, {instruction.rounds} x {instruction.op} {arrays}: {where}"


if __name__ == "__main__":
    run_command(main)
