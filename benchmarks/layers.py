"""Where the milliseconds go, layer by layer: `python -m benchmarks.layers`."""

import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from train.config.config import Config
from train.runtime.cli import make_parser, new_file, positive, run_command

if TYPE_CHECKING:  # JAX itself waits until the devices are prepared
    from alexnet_jax.architecture import Architecture, LayerInfo

FLOAT = 4  # bytes


@dataclass
class Piece:
    """A part of the training step, timed alone: its operations, and the bytes it must move."""

    name: str
    direction: str
    operations: int
    bytes: int  # of its inputs and outputs, each counted once
    run: Callable[[], object]
    milliseconds: float = math.nan


def main(argv: list[str] | None = None) -> None:
    """Time every layer forward and backward on one device, against this machine's limits."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--net", default="PAPER")
    flags.add_argument("--batch-size", type=positive, default=128)
    flags.add_argument("--rounds", type=positive, default=5)
    flags.add_argument("--json", type=new_file, help="write the figures here")
    arguments = flags.parse_args(argv)

    from train.runtime import backend

    backend.set_up_devices(1, batch_norm=False)
    from train.config.network import get_architecture, read_net

    net = get_architecture(Config().replace(net=read_net(arguments.net)))
    pieces = list(ceilings())
    for info in net.layer_info():
        pieces += layer_pieces(net, info, arguments.batch_size)
    pieces += other_pieces(net, arguments.batch_size)
    take_turns(pieces, arguments.rounds)
    report(net.name, arguments.batch_size, pieces)
    if arguments.json:
        rows = [{k: v for k, v in vars(piece).items() if k != "run"} for piece in pieces]
        arguments.json.write_text(json.dumps(rows, indent=2))


def ceilings() -> Iterator[Piece]:
    """The limits of this machine: a large matrix product, and an addition in place."""
    import jax
    import jax.numpy as jnp

    square, vector = jnp.ones((3072, 3072)), jnp.ones(2**26)
    product, add = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1, donate_argnums=0)
    work, traffic = 2 * 3072**3, 3 * FLOAT * square.size
    yield Piece("product", "3072^3", work, traffic, lambda: product(square, square))

    def add_in_place() -> object:
        nonlocal vector
        vector = add(vector)
        return vector

    yield Piece("memory", "x + 1 in place", 0, 2 * FLOAT * vector.size, add_in_place)


def layer_pieces(net: "Architecture", info: "LayerInfo", batch: int) -> Iterator[Piece]:
    """Pieces of one layer, all towers: forward, and the gradients of its weights and its input.

    A gradient includes what it recomputes of the forward pass, as in training.
    """
    import jax

    from alexnet_jax.forward import run_layer
    from alexnet_jax.params import Layer
    from alexnet_jax.towers import Towers

    towers, key = Towers(net.towers), jax.random.key(0)

    def forward(params, inputs):
        xs = inputs * net.towers if info.replicated_in else inputs
        outputs = run_layer(info, {info.name: params}, xs, key, towers)
        return outputs[:1] if info.replicated_out else outputs

    inputs = arrays(info.input_shape, batch, 1 if info.replicated_in else net.towers)
    params = None
    if info.weight_shape:
        params = Layer(
            *(arrays(s, None, 1)[0] for s in (info.weight_shape, info.output_shape[-1:]))
        )
    run = functools.partial(jax.jit(forward), params, inputs)
    outputs = run()
    operations = 2 * batch * info.multiply_accumulates
    moved = FLOAT * (
        batch * (math.prod(info.input_shape) + math.prod(info.output_shape)) + info.parameters
    )
    yield Piece(info.name, "forward", operations, moved, run)

    def backward(which: int):
        def gradient(params, inputs, cotangent):
            arguments = (params, inputs)

            def function(x):
                return forward(*(x if i == which else arguments[i] for i in (0, 1)))

            return jax.vjp(function, arguments[which])[1](cotangent)[0]

        return functools.partial(jax.jit(gradient), params, inputs, outputs)

    if params:
        yield Piece(info.name, "weights", operations, moved, backward(0))
    if info.name != net.layer_info()[0].name:
        yield Piece(info.name, "input", operations, moved, backward(1))


def arrays(shape: tuple[int, ...], batch: int | None, parts: int) -> list:
    """Return equal parts of a random array of this shape, split along the last axis."""
    import jax.numpy as jnp
    import numpy as np

    size = (*([batch] if batch else []), *shape[:-1], shape[-1] // parts)
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(size, np.float32)) for _ in range(parts)]


def other_pieces(net: "Architecture", batch: int) -> list[Piece]:
    """Return the pieces of a training step outside the layers: augmentation and the update."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import alexnet_jax
    from train.steps.augment import random_crops
    from train.steps.optimizers import sgd

    size = net.image_sizes[0]
    images = np.zeros((batch, size + 32, size + 32, 3), np.uint8)
    mean = jnp.zeros(images.shape[1:])
    keys = jax.random.split(jax.random.key(0), batch)
    crops = jax.jit(lambda images: random_crops(keys, images, mean, size=size, flip=True))
    optimizer = sgd()
    params = alexnet_jax.init(jax.random.key(0), net)
    velocity = optimizer.init(params)
    gradient = jax.tree.map(jnp.ones_like, params)
    rates = jax.tree.map(lambda _: jnp.float32(0.01), params)

    def update(params, velocity, gradient):
        updates, velocity = optimizer.update(gradient, velocity, params, rates=rates)
        return jax.tree.map(jnp.add, params, updates), velocity

    update = jax.jit(update, donate_argnums=(0, 1))

    def run_update() -> object:
        nonlocal params, velocity
        params, velocity = update(params, velocity, gradient)
        return params

    crop_bytes = images[:, :size, :size].size * (1 + FLOAT)
    return [
        Piece("crops", "", 0, crop_bytes, lambda: crops(images)),
        Piece("update", "", 0, 5 * FLOAT * net.parameters, run_update),
    ]


def take_turns(pieces: list[Piece], rounds: int) -> None:
    """Time all pieces round by round, and set the median of each."""
    import jax

    seconds: list[list[float]] = [[] for _ in pieces]
    for _ in range(rounds + 1):
        for piece, times in zip(pieces, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(piece.run())
            times.append(time.perf_counter() - start)
    for piece, times in zip(pieces, seconds, strict=True):
        piece.milliseconds = 1e3 * statistics.median(times[1:])  # the first round compiles


def report(name: str, batch: int, pieces: list[Piece]) -> None:
    """Print one row for each piece, with the least time that the machine's limits allow."""
    product, memory = pieces[0], pieces[1]
    flops = product.operations / product.milliseconds
    bandwidth = memory.bytes / memory.milliseconds
    table = Table(title=f"{name}, batch {batch}, milliseconds")
    for column in ("layer", "", "ms", "least", "GFLOP", "GFLOP/s", "MB", "GB/s"):
        table.add_column(column, justify="left" if column in ("layer", "") else "right")
    total = floor = 0.0
    for piece in pieces:
        least = max(piece.operations / flops, piece.bytes / bandwidth)
        if piece not in (product, memory):
            total, floor = total + piece.milliseconds, floor + least
        table.add_row(
            piece.name,
            piece.direction,
            f"{piece.milliseconds:.1f}",
            f"{least:.1f}",
            f"{piece.operations / 1e9:.1f}",
            f"{piece.operations / piece.milliseconds / 1e6:.0f}",
            f"{piece.bytes / 1e6:.0f}",
            f"{piece.bytes / piece.milliseconds / 1e6:.1f}",
        )
    table.add_row("sum", "", f"{total:.1f}", f"{floor:.1f}", "", "", "", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    run_command(main)
