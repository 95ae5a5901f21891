"""Time the very step that training uses, on random images: `python -m benchmarks.step`."""

import resource
import statistics
import time

from train.command import command, parser


def main(argv: list[str] | None = None) -> None:
    """Print the first loss, the time of each step, images per second and the peak memory."""
    flags = parser("benchmarks.step", __doc__)
    flags.add_argument("--net", default="PAPER")
    flags.add_argument("--devices", type=int, default=2)
    flags.add_argument("--batch-size", type=int, default=128)
    flags.add_argument("--steps", type=int, default=5)
    arguments = flags.parse_args(argv)

    from train import platform

    platform.prepare(arguments.devices)
    platform.keep_compilations()
    start = time.perf_counter()
    import alexnet_jax
    from benchmarks.ours import training_step

    print(f"import alexnet_jax: {time.perf_counter() - start:.2f} s, JAX itself before")
    net = alexnet_jax.architectures.by_name(arguments.net)
    step = training_step(net, alexnet_jax.make_mesh(arguments.devices), arguments.batch_size)

    seconds = []
    for number in range(arguments.steps + 1):
        start = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - start)
        name = "first step, with compilation" if number == 0 else f"step {number}"
        print(f"{name}: {seconds[-1]:.2f} s, loss {loss:.4f}", flush=True)
    median = statistics.median(seconds[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{net.name}, batch {arguments.batch_size}, {arguments.devices} devices: "
        f"median {median:.2f} s, {arguments.batch_size / median:.1f} images/s, peak {peak:.2f} GB"
    )


if __name__ == "__main__":
    command(main)
