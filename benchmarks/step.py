"""Time the very step that training uses, on random images: `python -m benchmarks.step`."""

import resource
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
    import functools

    import jax
    import jax.numpy as jnp
    import numpy as np

    import alexnet_jax
    from train.optimizer import sgd
    from train.step import init_state, make_train_step, state_shardings

    net = alexnet_jax.architectures.by_name(arguments.net)
    mesh, optimizer = alexnet_jax.make_mesh(arguments.devices), sgd(0.01)
    stored = -(-net.image_sizes[0] * 8 // 7)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (arguments.batch_size, stored, stored, 3), np.uint8)
    labels = rng.integers(0, net.classes, arguments.batch_size)
    init = functools.partial(init_state, jax.random.key(0), net, optimizer)
    state = jax.jit(init, out_shardings=state_shardings(net, optimizer, mesh))()
    mean = jnp.full((stored, stored, 3), 127.5)
    step = make_train_step(net, optimizer, mean, key=jax.random.key(1), flip=True, mesh=mesh)

    seconds = []
    for number in range(arguments.steps + 1):
        start = time.perf_counter()
        state, metrics = step(state, {"image": images, "label": labels})
        loss = float(metrics["loss"])
        seconds.append(time.perf_counter() - start)
        name = "first step, with compilation" if number == 0 else f"step {number}"
        print(f"{name}: {seconds[-1]:.2f} s, loss {loss:.4f}", flush=True)
    median = float(np.median(seconds[1:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{net.name}, batch {arguments.batch_size}, {arguments.devices} devices: "
        f"median {median:.2f} s, {arguments.batch_size / median:.1f} images/s, peak {peak:.2f} GB"
    )


if __name__ == "__main__":
    command(main)
