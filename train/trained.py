"""A finished, or stopped, run as something to predict with."""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import alexnet_jax
from alexnet_jax import Architecture, Params
from train.augment import centre_crops
from train.checkpoints import Checkpoints
from train.config import BadInput, load, read_record
from train.optimizer import OPTIMIZERS
from train.run_folder import net_of, read_mean, stored_size
from train.step import init_state, state_shardings


@dataclass(frozen=True)
class Trained:
    """A net with its best parameters, and all that its images must go through."""

    architecture: Architecture
    params: Params
    mean: np.ndarray
    class_names: tuple[str, ...]

    def probabilities(self, images: np.ndarray) -> jax.Array:
        """Return [n, classes] for uint8 images [n, size, size, 3] of the mean's size."""
        size = self.architecture.image_sizes[0]
        centred = centre_crops(jnp.asarray(images), jnp.asarray(self.mean), size=size)
        scores = alexnet_jax.apply(self.params, centred, architecture=self.architecture)
        return jax.nn.softmax(scores)


def open_trained(run_dir: Path) -> Trained:
    """Read the checkpoint with the lowest test error of a run, onto one device.

    Raises BadInput if the folder holds no run or the run no checkpoint.
    """
    config = load(run_dir)
    names = tuple(read_record(run_dir)["data"]["class_names"])
    architecture = net_of(config).with_classes(len(names))
    mesh = alexnet_jax.make_mesh(1)
    optimizer = OPTIMIZERS[config.optimizer]()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        step = checkpoints.best_step()
        if step is None:
            raise BadInput(f"{run_dir} holds no checkpoint yet")
        state, _ = checkpoints.restore(step, like, state_shardings(architecture, optimizer, mesh))
    mean = read_mean(run_dir, stored_size(config, architecture))
    return Trained(architecture, state.params, mean, names)
