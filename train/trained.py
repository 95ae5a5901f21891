"""A finished, or stopped, run as something to predict with."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

from alexnet_jax import Architecture, Params
from train.checkpoints import Checkpoints
from train.config import Config, load, read_record
from train.error_rates import make_scorer
from train.optimizer import OPTIMIZERS
from train.run_folder import mesh_of, net_of, read_mean, stored_size
from train.step import init_state, state_shardings


@dataclass(frozen=True)
class Trained:
    """A net with the parameters of one checkpoint, and all that its images must go through."""

    folder: Path
    config: Config
    architecture: Architecture
    step: int
    params: Params
    mean: np.ndarray
    class_names: tuple[str, ...]
    mesh: Mesh

    @property
    def stored_size(self) -> int:
        """The pixels square that its images are brought to."""
        return len(self.mean)

    def scorer(self, patches: int = 1) -> Callable[[ArrayLike], jax.Array]:
        """Return the jitted function of images that `make_scorer` describes."""
        scorer = make_scorer(self.architecture, jnp.asarray(self.mean), self.mesh, patches=patches)
        return functools.partial(scorer, self.params)


def open_trained(run_dir: Path, checkpoint: str | int = "best", *, devices: int = 1) -> Trained:
    """Read a checkpoint of a run: the "best", with the lowest test error, the "latest" or a step.

    Raises BadInput if the folder holds no run, the run no such checkpoint, or the net does not fit
    on so many devices.
    """
    config = load(run_dir)
    names = tuple(read_record(run_dir)["data"]["class_names"])
    architecture = net_of(config).with_classes(len(names))
    mesh = mesh_of(architecture, devices)
    mean = read_mean(run_dir, stored_size(config, architecture))
    optimizer = OPTIMIZERS[config.optimizer]()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        step = checkpoints.find(checkpoint)
        state, _ = checkpoints.restore(step, like, state_shardings(architecture, optimizer, mesh))
    return Trained(run_dir, config, architecture, step, state.params, mean, names, mesh)
