"""Time and memory of the training step, on random images: `python -m benchmarks.step`."""

import importlib
import math
import resource
import statistics
import time
from typing import TYPE_CHECKING

from train.config.config import Config
from train.runtime.cli import make_parser, positive, run_command

if TYPE_CHECKING:  # JAX itself waits until the devices are prepared
    from alexnet_jax import Architecture


def main(argv: list[str] | None = None) -> None:
    """Print the loss and time of each step, images per second, and the memory."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--net", default="PAPER")
    flags.add_argument("--devices", type=positive, default=2)
    flags.add_argument("--batch-size", type=positive, default=128)
    flags.add_argument("--steps", type=positive, default=5)
    arguments = flags.parse_args(argv)

    from train.runtime import backend, compile_cache

    backend.set_up_devices(arguments.devices, batch_norm=False)
    compile_cache.enable()
    start = time.perf_counter()
    importlib.import_module("alexnet_jax")
    print(f"import alexnet_jax: {time.perf_counter() - start:.2f} s, beyond JAX's own")
    from benchmarks.ours import training_step
    from train.config.network import get_architecture, read_net
    from train.runtime.hlo import memory_usage
    from train.runtime.mesh import make_mesh

    config = Config().replace(
        net=read_net(arguments.net), devices=arguments.devices, batch_size=arguments.batch_size
    )
    net = get_architecture(config)
    mesh = make_mesh(net, config.launch.devices, config.recipe.batch_size)
    start = time.perf_counter()
    step, program = training_step(net, mesh, arguments.batch_size)
    print(f"compiling, or loading from the cache: {time.perf_counter() - start:.2f} s")

    seconds = []
    for number in range(
        arguments.steps + 1
    ):  # the first step touches the memory and is not counted
        start = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - start)
        print(f"step {number}: {seconds[-1]:.2f} s, loss {loss:.4f}", flush=True)
    median = statistics.median(seconds[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{net.name}, batch {arguments.batch_size}, {arguments.devices} devices: "
        f"median {median:.2f} s, {arguments.batch_size / median:.1f} images/s, peak {peak:.2f} GB"
    )
    needed = needed_bytes(net, arguments.batch_size)
    memory = memory_usage(program)  # of one device
    assert memory is not None
    total = arguments.devices * memory.total
    print(
        f"the program's arrays take {total / 1e9:.2f} GB, "
        f"{total / needed:.2f} times the {needed / 1e9:.2f} GB that a step needs"
    )


def needed_bytes(net: "Architecture", batch: int) -> int:
    """Return the bytes that any implementation of a step needs, all devices together.

    Parameters, velocity and gradients, and `kept_numbers`; one array of floats each.
    """
    return 4 * (3 * net.parameters + batch * kept_numbers(net))


def kept_numbers(net: "Architecture") -> int:
    """Return how many activations of an image any implementation keeps for the backward pass.

    These are the inputs of the layers whose backward pass reads them: convolutions, dense layers,
    norms and pools. A ReLU's sign and a dropout's mask can be read off the next of these.
    """
    from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Output, ResponseNorm

    reads = Conv | Dense | Output | ResponseNorm | MaxPool
    return sum(math.prod(s.input_shape) for s in net.layer_info() if isinstance(s.spec, reads))


if __name__ == "__main__":
    run_command(main)
