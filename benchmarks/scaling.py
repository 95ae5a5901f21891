"""What a step sends between devices, up to 64 of them: `python -m benchmarks.scaling`.

The step of `train.main` is compiled for virtual CPU devices and not run. The bytes that its
collectives send are counted in the program, by mesh axis, next to the least that the layout needs.
With two figures of a machine, --tflops and --link, they predict how the step would scale there.
"""

import json
import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import programs
from train.config.errors import BadInput
from train.runtime.cli import make_parser, new_file, positive, run_command

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
        "--batch-size", type=positive, default=128, help="per pair of devices (%(default)s)"
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
    from alexnet_jax.towers import num_batch_shards
    from train.config.config import Config
    from train.config.network import get_architecture, read_net
    from train.runtime.mesh import make_mesh

    net = get_architecture(Config().replace(net=read_net(arguments.net)))
    rows = []
    for devices in arguments.devices:
        mesh = make_mesh(net, devices)
        batch = arguments.batch_size * num_batch_shards(mesh)
        moved = bytes_sent(programs.lowered_step(net, batch, mesh).compile().as_text(), mesh)
        rows.append({"devices": devices, "batch": batch, "sent": moved})
        rows[-1]["least"] = least_bytes(net, mesh, batch)
        rows[-1] |= predict(net, mesh, batch, moved, arguments.tflops * 1e12, arguments.link * 1e9)
    report(arguments, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def bytes_sent(hlo: str, mesh: "Mesh") -> dict[str, float]:
    """Return the bytes that a device sends in a step, by mesh axis.

    Every collective is counted as a ring, the least for any algorithm. `other` are collectives
    over neither axis alone.
    """
    import numpy as np

    indices = np.arange(mesh.size).reshape(mesh.devices.shape)
    lines = {
        axis: {frozenset(line) for line in np.moveaxis(indices, i, -1).reshape(-1, size).tolist()}
        for i, (axis, size) in enumerate(mesh.shape.items())
    }
    sent = {"tower": 0.0, "data": 0.0, "other": 0.0}
    for instruction in programs.instructions(hlo):
        if instruction.collective:
            groups = {frozenset(group) for group in instruction.groups.tolist()}
            [axis, *_] = [axis for axis in lines if groups <= lines[axis]] + ["other"]
            sent[axis] += instruction.sent
    return sent


def least_bytes(net: "Architecture", mesh: "Mesh", batch: int) -> dict[str, float]:
    """Return the least bytes that a device must send, for this layout of towers and batch.

    Along towers: at every `Gather`, the device sends its own maps to the other towers, and as much
    of their gradient comes back; and it sends its contribution to the logits. Along data: the
    gradient of its parameters is summed over the devices that hold the same parameters.
    """
    import jax
    import numpy as np

    import alexnet_jax
    from alexnet_jax.layer_specs import Gather

    towers, shards = mesh.shape.get("tower", 1), alexnet_jax.towers.num_batch_shards(mesh)
    images, others = batch // shards, (towers - 1) / towers
    layers = net.layer_info()
    gathered = sum(
        math.prod(info.output_shape)
        for info in layers
        if isinstance(info.spec, Gather) and not info.replicated_in
    )
    tower = images * others * (2 * gathered + 2 * math.prod(layers[-1].output_shape))
    params = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0), net))
    shardings = alexnet_jax.param_shardings(mesh, net)
    local = sum(
        np.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True)
    )
    return {"tower": FLOAT * tower, "data": float(FLOAT * local * 2 * (shards - 1) / shards)}


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
      `efficiency_overlapped` if all sums over data overlap with computation.
    """
    operations = 3 * 2 * sum(info.multiply_accumulates for info in net.layer_info()) * batch
    computing = operations / mesh.size / speed
    towers, data = (sent["tower"] + sent["other"]) / link, sent["data"] / link
    return {
        "seconds": computing + towers + data,
        "efficiency": computing / (computing + towers + data),
        "efficiency_overlapped": computing / max(computing + towers, data),
    }


def report(arguments: Any, rows: list[dict[str, Any]]) -> None:
    """Print a row for each number of devices."""
    title = (
        f"{arguments.net}, {arguments.batch_size} images per pair of devices; MB that each sends "
        f"per step; at {arguments.tflops:g} Tflop/s and {arguments.link:g} GB/s"
    )
    table = Table(title=title)
    for head in ("devices", "batch", "towers", "least", "data", "least", "other"):
        table.add_column(head, justify="right")
    for head in ("ms", "efficiency", "overlapped"):
        table.add_column(head, justify="right")
    for row in rows:
        sent, least = row["sent"], row["least"]
        moved = (sent["tower"], least["tower"], sent["data"], least["data"], sent["other"])
        table.add_row(
            *(f"{row[name]:,}" for name in ("devices", "batch")),
            *(f"{size / 1e6:,.2f}" for size in moved),
            f"{1e3 * row['seconds']:.2f}",
            *(f"{100 * row[name]:.1f} %" for name in ("efficiency", "efficiency_overlapped")),
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    run_command(main)
