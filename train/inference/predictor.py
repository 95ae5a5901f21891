"""A checkpoint of a run as a network that predicts."""

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
    """A network with the parameters of one checkpoint, its preprocessing and class names."""

    folder: Path
    config: Config
    architecture: Architecture
    step: int
    params: Params
    mean: np.ndarray
    """float32 [size, size, 3], subtracted from each stored image."""
    class_names: tuple[str, ...]
    mesh: Mesh
    class_descriptions: dict[str, str] = field(default_factory=dict)
    """Readable descriptions, by class name, where the data have them."""

    @property
    def stored_size(self) -> int:
        """The side, in pixels, of the images that its crops are taken from."""
        return len(self.mean)

    def class_label(self, index: int) -> str:
        """Return the description of a class, or its name if it has none."""
        name = self.class_names[index]
        return self.class_descriptions.get(name, name)

    def eval_step(self, crops: int = 1) -> Callable[[ArrayLike], jax.Array]:
        """Return the jitted function of `make_eval_step`, from images alone.

        Images are uint8 [n, stored_size, stored_size, 3], logits [n, crops, classes].
        """
        eval_step = make_eval_step(
            self.architecture, jnp.asarray(self.mean), self.mesh, crops=crops
        )
        return functools.partial(eval_step, self.params)

    @property
    def last_hidden_layer(self) -> str:
        """The name, in `activations`, of the layer whose features the output layer reads."""
        no_features = Dropout | Gather | Split | Output
        layers = reversed(self.architecture.layer_info())
        return next(info.name for info in layers if not isinstance(info.spec, no_features))

    def extract_features(self) -> Callable[[ArrayLike], jax.Array]:
        """Return a jitted function from images to the features of the last hidden layer.

        Images are those of `eval_step`; features are [n, features], of the center crop.
        """
        size, name = self.architecture.image_sizes[0], self.last_hidden_layer
        activations = functools.partial(
            alexnet_jax.activations, names=name, architecture=self.architecture, mesh=self.mesh
        )

        def features(params: Params, images: ArrayLike) -> jax.Array:
            centered = jnp.asarray(images).astype(jnp.float32) - self.mean
            maps = activations(params, center_crops(centered, size))[name]
            return maps.reshape(len(maps), -1)

        return functools.partial(jax.jit(features), self.params)


def open_predictor(run_dir: Path, checkpoint: str | int = "best", *, devices: int = 1) -> Predictor:
    """Read a checkpoint of a run.

    Args:
      run_dir: the folder of the run.
      checkpoint: "best", with the lowest test error, "latest", or a step.
      devices: to run the network on.

    Raises BadInput if the folder holds no run, the run has no such checkpoint, or the network
    cannot be placed on that many devices.
    """
    config, data = load_config(run_dir), read_record(run_dir)["data"]
    class_names, descriptions = tuple(data["class_names"]), dict(data.get("words", {}))
    architecture = get_architecture(config).with_classes(len(class_names))
    mesh = make_mesh(architecture, devices)
    mean = read_mean(run_dir, stored_size(config, architecture))
    optimizer = OPTIMIZERS[config.recipe.optimizer]()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        step = checkpoints.find(checkpoint)
        state, _ = checkpoints.restore(step, like, state_shardings(architecture, optimizer, mesh))
    return Predictor(
        run_dir, config, architecture, step, state.params, mean, class_names, mesh, descriptions
    )
