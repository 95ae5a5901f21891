"""A finished, or stopped, run as something to predict with."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

import alexnet_jax
from alexnet_jax import Architecture, Params
from alexnet_jax.evaluation import center_crops
from alexnet_jax.layer_specs import Dropout, Gather, Output, Split

from ..config.config import Config
from ..config.network import get_architecture
from ..config.saved import load_config, read_record
from ..data.image_statistics import read_mean
from ..data.stored_size import stored_size
from ..run_dir.checkpoints import Checkpoints
from ..runtime.mesh import make_mesh
from ..steps.eval_step import make_eval_step
from ..steps.optimizers import OPTIMIZERS
from ..steps.train_step import init_state, state_shardings


@dataclass(frozen=True)
class Predictor:
    """A net with the parameters of one checkpoint, and all that its images must go through."""

    folder: Path
    config: Config
    architecture: Architecture
    step: int
    params: Params
    mean: np.ndarray
    class_names: tuple[str, ...]
    mesh: Mesh
    words: dict[str, str] = field(default_factory=dict)
    """What classes are called, where the data say more than their names."""

    @property
    def stored_size(self) -> int:
        """The pixels square that its images are brought to."""
        return len(self.mean)

    def called(self, label: int) -> str:
        """Return what a class is called: the words of its synset, or else its name."""
        name = self.class_names[label]
        return self.words.get(name, name)

    def scorer(self, patches: int = 1) -> Callable[[ArrayLike], jax.Array]:
        """Return the jitted function of images that `make_eval_step` describes."""
        scorer = make_eval_step(
            self.architecture, jnp.asarray(self.mean), self.mesh, patches=patches
        )
        return functools.partial(scorer, self.params)

    @property
    def last_hidden(self) -> str:
        """The layer whose features the scores are made of, by its name in `activations`."""
        on_the_way = Dropout | Gather | Split | Output
        steps = self.architecture.layer_info()
        return next(step.name for step in steps[::-1] if not isinstance(step.spec, on_the_way))

    def features(self) -> Callable[[ArrayLike], jax.Array]:
        """Return a jitted function of images to their features in the last hidden layer.

        Images are as `scorer` takes them; features are [n, features], of the central patch.
        """
        size, name = self.architecture.image_sizes[0], self.last_hidden
        maps = functools.partial(
            alexnet_jax.activations, names=name, architecture=self.architecture, mesh=self.mesh
        )

        def of_center(params: Params, images: ArrayLike) -> jax.Array:
            centered = jnp.asarray(images).astype(jnp.float32) - self.mean
            found = maps(params, center_crops(centered, size))[name]
            return found.reshape(len(found), -1)

        return functools.partial(jax.jit(of_center), self.params)


def open_predictor(run_dir: Path, checkpoint: str | int = "best", *, devices: int = 1) -> Predictor:
    """Read a checkpoint of a run: the "best", with the lowest test error, the "latest" or a step.

    Raises BadInput if the folder holds no run, the run no such checkpoint, or the net does not fit
    on so many devices.
    """
    config, data = load_config(run_dir), read_record(run_dir)["data"]
    names, words = tuple(data["class_names"]), dict(data.get("words", {}))
    architecture = get_architecture(config).with_classes(len(names))
    mesh = make_mesh(architecture, devices)
    mean = read_mean(run_dir, stored_size(config, architecture))
    optimizer = OPTIMIZERS[config.recipe.optimizer]()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        step = checkpoints.find(checkpoint)
        state, _ = checkpoints.restore(step, like, state_shardings(architecture, optimizer, mesh))
    return Predictor(run_dir, config, architecture, step, state.params, mean, names, mesh, words)
