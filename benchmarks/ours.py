"""This package's training step and forward pass, to be timed beside its peers."""

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.worker import Prepared, serve
from train.runtime import backend

if TYPE_CHECKING:  # JAX itself waits until the devices are prepared
    from jax.sharding import Mesh
    from jax.stages import Compiled

    from alexnet_jax import Architecture


def prepare(task: str, batch: int) -> Prepared:
    """Return the training step of `train.main`, a forward pass, or that of ten crops, of PAPER."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import alexnet_jax
    from alexnet_jax.architectures import PAPER

    mesh, rng = alexnet_jax.make_mesh(int(sys.argv[1])), np.random.default_rng(0)
    if task == "forward":
        shardings = alexnet_jax.param_shardings(mesh, PAPER), alexnet_jax.batch_sharding(mesh)
        params = jax.jit(alexnet_jax.init, out_shardings=shardings[0])(jax.random.key(0))
        images = jnp.asarray(rng.normal(0, 60, (batch, 224, 224, 3)), jnp.float32)
        images = jax.device_put(images, shardings[1])
        forward = jax.jit(functools.partial(alexnet_jax.apply, mesh=mesh), in_shardings=shardings)
        return lambda: forward(params, images).block_until_ready()
    if task == "ten crops":
        return ten_crops(mesh)
    return training_step(PAPER, mesh, batch)[0]


def ten_crops(mesh: "Mesh") -> Prepared:
    """Return what `train.predict` does with one picture: its ten crops, through the network."""
    import jax
    import numpy as np

    import alexnet_jax
    from alexnet_jax.architectures import PAPER
    from train.steps.eval_step import make_eval_step

    shardings = alexnet_jax.param_shardings(mesh, PAPER)
    params = jax.jit(alexnet_jax.init, out_shardings=shardings)(jax.random.key(0))
    predict = make_eval_step(PAPER, jax.numpy.full(3, 127.5), mesh, crops=10)
    picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    return lambda: predict(params, picture).block_until_ready()


def training_step(
    net: "Architecture", mesh: "Mesh", batch: int
) -> tuple[Callable[[], float], "Compiled"]:
    """Return the step of `train.main` on one random batch, and its compiled program.

    Each call trains one step and returns the loss.
    """
    from train.config.config import Config
    from train.data.stored_size import stored_size
    from train.data.synthetic import synthetic_data
    from train.dry_run.timing import StepTimer, synthetic_run

    config = Config().replace(net=net.name, batch_size=batch, flip=True, cut_epochs=())
    size = stored_size(config, net)
    data = synthetic_data(size, train=batch, test=0, classes=net.classes)
    with StepTimer(synthetic_run(config, net, data, mesh)) as timer:
        return lambda: timer.step(timer.batch), timer.program


if __name__ == "__main__":
    devices, task = sys.argv[1:]
    backend.set_up_devices(int(devices), batch_norm=False if task == "train" else None)
    serve(prepare)
