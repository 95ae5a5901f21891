"""What a step sends between devices, up to 64 of them: `python -m benchmarks.scaling`.

The step of `train.main` is compiled for virtual CPU devices and not run. The bytes that its
collectives send are counted in the program, next to the least that the layout needs.
With two figures of a machine, --tflops and --link, they predict how the step would scale there.
"""

import itertools
import json
import math
from typing import TYPE_CHECKING, Any, get_args

from rich.console import Console
from rich.table import Table

from benchmarks import programs
from train.config.config import Layout
from train.config.errors import BadInput
from train.runtime.cli import make_parser, new_file, positive, run_command
from train.runtime.hlo import memory_usage

if TYPE_CHECKING:  # JAX itself waits until the environment is prepared
    from jax.sharding import Mesh

    from alexnet_jax import Architecture

FLOAT = 4  # bytes


def main(argv: list[str] | None = None) -> None:
    """Compile the step for each number of devices; print what it sends and what that costs."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--net", default="PAPER", help="(%(default)s)")
    flags.add_argument("--devices", type=positive, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    flags.add_argument(
        "--batch-size", type=positive, default=128, help="images per device (%(default)s)"
    )
    flags.add_argument(
        "--layout", choices=get_args(Layout), nargs="+", default=["tower"], help="(%(default)s)"
    )
    flags.add_argument("--tflops", type=float, default=50, help="speed of a device (%(default)s)")
    flags.add_argument(
        "--link",
        type=float,
        default=25,
        help="gigabytes per second that a device sends (%(default)s)",
    )
    flags.add_argument("--json", type=new_file, help="write the figures here")
    arguments = flags.parse_args(argv)
    if not min(arguments.tflops, arguments.link) > 0:
        raise BadInput("--tflops and --link must be above 0")

    from train.runtime import backend

    backend.set_up_devices(max(arguments.devices))
    from train.config.config import Config
    from train.config.network import get_architecture, read_net
    from train.runtime.mesh import make_mesh

    net = get_architecture(Config().replace(net=read_net(arguments.net)))
    rows = []
    for devices, layout in itertools.product(arguments.devices, arguments.layout):
        mesh, batch = make_mesh(net, devices, layout=layout), arguments.batch_size * devices
        program = programs.lowered_step(net, batch, mesh).compile()
        moved, memory = bytes_sent(program.as_text(), mesh), memory_usage(program)
        row = {"layout": layout, "devices": devices, "batch": batch, "sent": moved}
        row |= {"least": least_bytes(net, mesh, batch), "memory": memory and memory._asdict()}
        row |= predict(net, mesh, batch, moved, arguments.tflops * 1e12, arguments.link * 1e9)
        rows.append(row)
    report(arguments, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def bytes_sent(hlo: str, mesh: "Mesh") -> dict[str, float]:
    """Return the bytes that a device sends in a step: `activations` and `gradients`.

    Every collective is counted as a ring, the least for any algorithm. Gradients are the
    all-reduces over parts of the batch. All else belongs to activations: sums over towers, gathers
    and their gradients.
    """
    import numpy as np

    indices, towers = np.arange(mesh.size).reshape(mesh.devices.shape), set()
    if "tower" in mesh.shape:
        pairs = np.moveaxis(indices, mesh.axis_names.index("tower"), -1)
        towers = {frozenset(pair) for pair in pairs.reshape(-1, mesh.shape["tower"]).tolist()}
    sent = {"activations": 0.0, "gradients": 0.0}
    for instruction in programs.instructions(hlo):
        if instruction.collective:
            groups = {frozenset(group) for group in instruction.groups.tolist()}
            is_gradient = instruction.collective == "all-reduce" and not groups <= towers
            sent["gradients" if is_gradient else "activations"] += instruction.sent
    return sent


def least_bytes(net: "Architecture", mesh: "Mesh", batch: int) -> dict[str, float]:
    """Return the least bytes that a device must send, for this layout.

    Activations, between towers: at every `Gather`, the device sends its own maps to the other
    towers, and as much of their gradient comes back; and it sends its contribution to the logits.
    Between devices that share dense layers: the features that a layer reads go to all others, or
    the logits, and as much of their gradient comes back. Gradients: that of each parameter is
    summed over the devices that hold the same part of it.
    """
    import jax

    import alexnet_jax

    shards = alexnet_jax.towers.num_batch_shards(mesh)
    params = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), net))
    shardings = alexnet_jax.param_shardings(mesh, net)
    summed = 0.0
    for leaf, sharding in zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True):
        alike = shards // (mesh.shape["dense"] if "dense" in sharding.spec else 1)
        summed += math.prod(sharding.shard_shape(leaf.shape)) * 2 * (alike - 1) / alike
    activations = batch // shards * _numbers_per_image(net, mesh)
    return {"activations": FLOAT * activations, "gradients": FLOAT * summed}


def _numbers_per_image(net: "Architecture", mesh: "Mesh") -> float:
    """Return the activations, and their gradients, that a device sends for one of its images."""
    from alexnet_jax.dense_layers import shared_layers
    from alexnet_jax.layer_specs import Dense, Gather, Output

    layers = net.layer_info()
    if group := mesh.shape.get("dense"):
        shared = shared_layers(net).values()
        widths = [info.input_shape[0] for info in shared if isinstance(info.spec, Dense)]
        widths += [info.output_shape[0] for info in shared if isinstance(info.spec, Output)]
        return 2 * (group - 1) * sum(widths)
    towers = mesh.shape.get("tower", 1)
    gathered = sum(
        math.prod(info.output_shape)
        for info in layers
        if isinstance(info.spec, Gather) and not info.replicated_in
    )
    return (towers - 1) / towers * 2 * (gathered + math.prod(layers[-1].output_shape))


def predict(
    net: "Architecture", mesh: "Mesh", batch: int, sent: dict[str, float], speed: float, link: float
) -> dict[str, float]:
    """Predict the seconds of a step, and the share of them that devices compute in.

    Args:
      net: the network.
      mesh: the devices.
      batch: images of all devices together.
      sent: bytes that each device sends, from `bytes_sent`.
      speed: operations per second of a device; a backward pass costs twice a forward one.
      link: bytes per second that a device sends.

    Returns:
      `seconds` and `efficiency` if a device never sends while it computes;
      `efficiency_overlapped` if all sums of gradients overlap with computation.
    """
    operations = 3 * 2 * sum(info.multiply_accumulates for info in net.layer_info()) * batch
    computing = operations / mesh.size / speed
    activations, gradients = sent["activations"] / link, sent["gradients"] / link
    return {
        "seconds": computing + activations + gradients,
        "efficiency": computing / (computing + activations + gradients),
        "efficiency_overlapped": computing / max(computing + activations, gradients),
    }


def report(arguments: Any, rows: list[dict[str, Any]]) -> None:
    """Print a row for each number of devices and layout."""
    title = (
        f"{arguments.net}, {arguments.batch_size} images per device; MB that each sends per step, "
        f"and of its memory; at {arguments.tflops:g} Tflop/s and {arguments.link:g} GB/s"
    )
    table = Table(title=title)
    table.add_column("layout")
    for head in ("devices", "activations", "least", "gradients", "least", "memory"):
        table.add_column(head, justify="right")
    for head in ("ms", "efficiency", "overlapped"):
        table.add_column(head, justify="right")
    for row in rows:
        moved = [row[of][kind] for kind in ("activations", "gradients") for of in ("sent", "least")]
        table.add_row(
            row["layout"],
            f"{row['devices']:,}",
            *(f"{size / 1e6:,.2f}" for size in moved),
            f"{sum(row['memory'].values()) / 1e6:,.0f}" if row["memory"] else "",
            f"{1e3 * row['seconds']:.2f}",
            *(f"{100 * row[name]:.1f} %" for name in ("efficiency", "efficiency_overlapped")),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    run_command(main)
