"""PAPER compiled for a GPU, without having one: `python -m benchmarks.gpu_compile h100`.

The compiler in the packages `jax-cuda13-plugin` and `jax-cuda13-pjrt` compiles the training step
and the forward pass ahead of time, with neither a GPU nor its driver, and the step of eight GPUs
that share the dense layers. All figures are of one GPU and its images; nothing is run. A kernel is
an instruction that the program launches; its bytes are those of its operands and results, each
counted whole. Kernels are not tuned without a card, and how fast they are is not known: the figures
serve to compare programs. `XLA_FLAGS` count.
"""

import functools
import importlib.util
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import programs
from benchmarks.gpu_specs import SPECS, target_config
from benchmarks.programs import Instruction
from train.config.errors import BadInput
from train.runtime.cli import make_parser, new_file, positive, run_command
from train.runtime.hlo import BYTES_PER_NUMBER

if TYPE_CHECKING:  # JAX itself waits until the environment is prepared
    from jax.sharding import Mesh

    from alexnet_jax import Architecture

PASSES = {"train": 1, "forward": 1, "dense8": 8}
"""GPUs by what they compute; "dense8" is "train" with shared dense layers."""
VARIANTS = [f"{pass_}-{kind}" for pass_ in PASSES for kind in ("float32", "bfloat16")]
MOVES = {"bitcast", "concatenate", "constant", "convert", "copy", "pad", "parameter", "reshape"}
MOVES |= {"slice", "transpose", "tuple"}
UNORDERED = ("scatter", "select-and-scatter")


def main(argv: list[str] | None = None) -> None:
    """Compile every variant, and print the account of each."""
    flags = make_parser(__spec__.name, __doc__)
    known = " or ".join(SPECS)
    flags.add_argument("spec", metavar="SPEC", help=f"{known}, or a file, as XLA's h100_sxm.txtpb")
    flags.add_argument("--batch-size", type=positive, default=128, help="images of each GPU")
    flags.add_argument("--variants", default=",".join(VARIANTS), help="separated by commas")
    flags.add_argument("--largest", type=positive, default=4, help="kernels to list per variant")
    flags.add_argument("--json", type=new_file, help="write the figures here")
    flags.add_argument("--hlo", type=Path, help="write the compiled programs into this folder")
    arguments = flags.parse_args(argv)
    variants = arguments.variants.split(",")
    if unknown := [name for name in variants if name not in VARIANTS]:
        raise BadInput(f"{unknown[0]} is none of {', '.join(VARIANTS)}")

    meshes = {count: described_gpus(arguments.spec, count) for count in (1, 8)}
    from alexnet_jax.architectures import PAPER

    results = {}
    for variant in variants:
        lowered = lower(PAPER, arguments.batch_size, variant, meshes[PASSES[variant.split("-")[0]]])
        program = lowered.compile()
        results[variant] = account(lowered, program, arguments.largest)
        if arguments.hlo:
            arguments.hlo.mkdir(parents=True, exist_ok=True)
            (arguments.hlo / f"{variant}.txt").write_text(program.as_text())
    title = f"PAPER, batch {arguments.batch_size}, {arguments.spec}"
    programs.report(title, results, lists="largest", decimals=2)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2))


def described_gpus(spec: str, count: int) -> "Mesh":
    """Return a mesh of described GPUs; several share the dense layers.

    Raises BadInput without their compiler or description.
    """
    config = target_config(spec)
    if not has_compiler():
        raise BadInput(
            "the compiler for GPUs is missing: "
            "install the PyPI packages jax-cuda13-plugin and jax-cuda13-pjrt, in JAX's own version"
        )
    import jax

    from train.runtime import backend

    jax.config.update("jax_platforms", "cpu")  # otherwise JAX looks for a GPU
    backend.set_up_devices(1)
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh

    from alexnet_jax.mesh import DENSE, TOWER

    try:
        devices = topologies.get_topology_desc(
            platform="cuda", topology_name="", target_config=config, topology=f"1x1x{count}"
        ).devices
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"{spec} is refused: {str(error).splitlines()[0]}") from None
    return Mesh(np.array(devices), (DENSE if count > 1 else TOWER,), axis_types=(AxisType.Auto,))


def has_compiler() -> bool:
    """Whether a CUDA plugin of JAX is installed."""
    if importlib.util.find_spec("jax_plugins") is None:
        return False
    return any(importlib.util.find_spec(f"jax_plugins.xla_cuda{n}") for n in (12, 13))


def lower(net: "Architecture", batch: int, variant: str, mesh: "Mesh"):
    """Lower the step of `train.main`, or the forward pass of a batch of images."""
    direction, kind = variant.split("-")
    if direction != "forward":
        return programs.lowered_step(net, batch * mesh.size, mesh, kind)
    import jax

    import alexnet_jax

    params = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), net))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, kind), params)
    images = jax.ShapeDtypeStruct((batch, *net.layer_info()[0].input_shape), "float32")
    placed = alexnet_jax.param_shardings(mesh, net), alexnet_jax.batch_sharding(mesh)
    forward = functools.partial(alexnet_jax.apply, architecture=net, mesh=mesh)
    return jax.jit(forward, in_shardings=placed).lower(params, images)


def account(lowered, program, largest: int) -> dict[str, Any]:
    """Count the kernels of a program, their bytes, and what its products are computed in."""
    text = program.as_text()
    kernels = programs.instructions(text, in_fusions=False)
    types = {instruction.name: instruction.type for instruction in kernels}
    kernels = [i for i in kernels if i.op not in programs.NO_WORK and not i.op.endswith("-done")]
    sizes = {i.name: i.rounds * kernel_bytes(i, types) for i in kernels}
    bodies = programs.computations(text)
    ops = Counter(i.op for i in programs.instructions(text))
    memory = program.memory_analysis()
    return {
        "kernels": len(kernels),
        "of these, only move or convert": sum(_only_moves(i, bodies) for i in kernels),
        "GB read and written": sum(sizes.values()) / 1e9,
        **{f"{op}s": ops[op] for op in (*UNORDERED, "sort")},
        "MB of arguments": memory.argument_size_in_bytes / 1e6,
        "MB of temporaries": memory.temp_size_in_bytes / 1e6,
        **products(lowered.as_text()),
        **programs.megabytes_sent(text),
        "largest": [
            f"{sizes[i.name] / 1e6:,.0f} MB, {i.name}: {programs.arrays(i.type)} of "
            + ", ".join(programs.arrays(types[name]) for name in i.operands if name in types)
            for i in sorted(kernels, key=lambda i: -sizes[i.name])[:largest]
        ],
    }


def kernel_bytes(kernel: Instruction, types: dict[str, str]) -> int:
    """Return the bytes of the operands and the results of one kernel."""
    operands = [types[name] for name in dict.fromkeys(kernel.operands) if name in types]
    return sum(map(_type_bytes, [kernel.type, *operands]))


def _type_bytes(type: str) -> int:
    return sum(
        BYTES_PER_NUMBER[dtype] * math.prod(int(n) for n in sizes.split(",") if n)
        for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", type)
    )


def _only_moves(kernel: Instruction, bodies: dict[str, list[Instruction]]) -> bool:
    """Whether a kernel computes nothing: another layout, another type, or parts of arrays."""
    called = re.search(r"calls=%([\w.\-]+)", kernel.rest)
    run = bodies[called[1]] if called else [kernel]
    return all(instruction.op in MOVES for instruction in run)


def products(stablehlo: str) -> dict[str, int]:
    """Count the products of a lowered program by their operands and precision."""
    found = Counter()
    for line in stablehlo.splitlines():
        if match := re.search(r"stablehlo\.(convolution|dot_general)", line):
            operands = re.findall(r"tensor<(?:\d+x)*(\w+)>", line.split(" : ")[-1])
            precision = re.search(r"precision\w* = \[[^\]]*?(DEFAULT|HIGHEST|HIGH)", line)
            kind = "convolutions" if match[1] == "convolution" else "products"
            found[f"{kind}, {operands[0]} {precision[1] if precision else 'DEFAULT'}"] += 1
    return dict(found)


if __name__ == "__main__":
    run_command(main)
