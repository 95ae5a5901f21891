"""A run's checkpoint, a file of weights or published weights as a network that predicts."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike

import alexnet_jax
from alexnet_jax import Architecture, Params, Preprocessing
from alexnet_jax.layer_specs import Dropout, Gather, Output, Split
from alexnet_jax.towers import num_batch_shards
from alexnet_jax.weights import imagenet

from ..config.config import Config, Layout
from ..config.errors import BadInput
from ..config.network import get_architecture
from ..config.saved import load_config, read_record
from ..data.formats.image_file import open_rgb
from ..data.formats.image_resize import RULES, ResizeRule
from ..data.image_statistics import read_mean
from ..data.pipeline import evaluation_batch_size
from ..data.stored_size import stored_size
from ..run_dir.checkpoints import Checkpoints
from ..runtime.cores import decoding_threads
from ..runtime.mesh import make_mesh
from ..steps.eval_step import make_eval_step
from ..steps.optimizers import OPTIMIZERS
from ..steps.train_step import init_state, state_shardings


@dataclass(frozen=True)
class Predictor:
    """A network with its parameters, preprocessing and class names."""

    source: str
    """The run folder, the file of weights or the published name, as the user wrote it."""
    architecture: Architecture
    params: Params
    preprocessing: Preprocessing
    """From pictures to the network's input."""
    class_names: tuple[str, ...]
    """By index; "0", "1", ... for a file of weights without names."""
    mesh: Mesh
    class_descriptions: dict[str, str] = field(default_factory=dict)
    """Readable descriptions, by class name, where there are any."""
    step: int | None = None
    """Of the checkpoint; None for weights that are not a run's."""
    config: Config | None = None
    """Of the run; None for weights that are not a run's."""

    @property
    def stored_size(self) -> int:
        """The side, in pixels, of the images that its crops are taken from."""
        return self.preprocessing.stored_size

    @property
    def input_size(self) -> int:
        """The side, in pixels, of the network's input."""
        return self.preprocessing.input_size

    @property
    def threads(self) -> int:
        """Threads that decode pictures."""
        return decoding_threads((self.config or Config()).data.threads)

    @property
    def title(self) -> str:
        """The network and the step, or where its weights are from: the title of a figure."""
        if self.source.upper() == self.architecture.name:  # a published name
            return self.architecture.name
        if self.step is None:
            return f"{self.architecture.name}, {Path(self.source).name}"
        return f"{self.architecture.name}, after step {self.step:,}"

    @property
    def resize(self) -> ResizeRule:
        """The rule by which pictures of any size become images of `stored_size` pixels."""
        return ResizeRule(self.preprocessing.resize, self.preprocessing.interpolation)

    def class_label(self, index: int) -> str:
        """Return the description of a class, or its name if it has none."""
        name = self.class_names[index]
        return self.class_descriptions.get(name, name)

    def class_index(self, text: str) -> int | None:
        """Return the index of a class by its name, or by one of the words that describe it.

        Case, underscores and blanks at the ends count only where several classes differ in nothing
        else. None for an unknown class, and for a word of several, as "crane".
        """
        return self._class_index.get(text, self._folded_index.get(_fold(text)))

    @functools.cached_property
    def _class_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.class_names)}

    @functools.cached_property
    def _folded_index(self) -> dict[str, int]:
        names: dict[str, set[int]] = {}
        for name, index in self._class_index.items():
            names.setdefault(_fold(name), set()).add(index)
        words: dict[str, set[int]] = {}
        for index in range(len(self.class_names)):
            label = self.class_label(index)
            for text in (label, *label.split(",")):
                words.setdefault(_fold(text), set()).add(index)
        return {text: min(found) for text, found in (words | names).items() if len(found) == 1}

    def read_picture(self, path: Path) -> np.ndarray:
        """Return a picture as an image, uint8 [stored_size, stored_size, 3]. Raises BadInput."""
        return self.resize(open_rgb(path, path)[0], self.stored_size)

    def preprocess(self, images: ArrayLike) -> jax.Array:
        """Return the network's input, float32 [n, input_size, input_size, 3], of center crops.

        Images are uint8 [n, stored_size, stored_size, 3].
        """
        return self.preprocessing(jnp.asarray(images))

    def to_pixels(self, inputs: ArrayLike) -> jax.Array:
        """Return inputs of the network as pixels again, from 0 to 255: undo `preprocess`."""
        rule = self.preprocessing
        start = (rule.stored_size - rule.input_size) // 2
        center = slice(start, start + rule.input_size)
        mean = rule.mean[center, center] if rule.mean.ndim == 3 else rule.mean
        return (jnp.asarray(inputs) * np.asarray(rule.std, np.float32) + mean) / rule.scale

    def batch_size(self, images: int, count: int) -> int:
        """Return how many of `count` images to take at once: `images`, as the mesh divides them."""
        return evaluation_batch_size(images, count, num_batch_shards(self.mesh))

    def eval_step(self, crops: int = 1) -> Callable[[ArrayLike], jax.Array]:
        """Return the jitted function of `make_eval_step`, from images alone.

        Images are uint8 [n, stored_size, stored_size, 3], logits [n, crops, classes].
        """
        rule = self.preprocessing
        eval_step = make_eval_step(
            self.architecture,
            jnp.asarray(rule.mean),
            self.mesh,
            crops=crops,
            input_size=rule.input_size,
            scale=rule.scale,
            std=rule.std,
        )
        return functools.partial(eval_step, self.params)

    @property
    def last_hidden_layer(self) -> str:
        """The name, in `activations`, of the layer whose features the output layer reads."""
        no_features = Dropout | Gather | Split | Output
        layers = reversed(self.architecture.layer_info())
        return next(info.name for info in layers if not isinstance(info.spec, no_features))

    def activations(
        self, params: Params, images: ArrayLike, names: Sequence[str]
    ) -> dict[str, jax.Array]:
        """Return `alexnet_jax.activations` of the center crops of images, those of `eval_step`.

        Products are made in float32 on every device, as in `eval_step`. `params` are an argument so
        that `jit` does not copy them into the program.
        """
        inputs = self.preprocess(images)
        with jax.default_matmul_precision("highest"):
            return alexnet_jax.activations(
                params, inputs, names, architecture=self.architecture, mesh=self.mesh
            )

    def extract_features(self) -> Callable[[ArrayLike], jax.Array]:
        """Return a jitted function from images to the features of the last hidden layer.

        Images are those of `eval_step`; features are [n, features], of the center crop.
        """
        name = self.last_hidden_layer

        def features(params: Params, images: ArrayLike) -> jax.Array:
            maps = self.activations(params, images, [name])[name]
            return maps.reshape(len(maps), -1)

        return functools.partial(jax.jit(features), self.params)


def _fold(text: str) -> str:
    """A class name as it is compared: "Golden_Retriever" is "golden retriever"."""
    return text.replace("_", " ").strip().lower()


def open_predictor(
    weights: str | os.PathLike[str],
    checkpoint: str | int = "best",
    *,
    devices: int = 1,
    layout: Layout = "tower",
) -> Predictor:
    """Read a checkpoint of a run, a file of weights, or published weights by their name.

    Args:
      weights: the folder of a run, a file that `alexnet_jax.load` reads, or a published name.
      checkpoint: of a run: "best", with the lowest validation error, "latest", or a step.
      devices: to run the network on.
      layout: what they divide, as `Launch.layout` says.

    Raises BadInput if there are no such weights, the run has no such checkpoint, or the network
    cannot be placed on that many devices.
    """
    path = Path(weights)
    if path.is_dir():
        return _open_run(path, checkpoint, devices, layout)
    if isinstance(checkpoint, int):
        raise BadInput(f"`checkpoint` {checkpoint}: {weights} is not the folder of a run")
    return _open_weights(weights, devices, layout)


def _open_weights(weights: str | os.PathLike[str], devices: int, layout: Layout) -> Predictor:
    """Read a file of weights, or published weights by their name."""
    try:
        loaded = alexnet_jax.read(weights)
    except FileNotFoundError:
        raise BadInput(f"{weights} does not exist") from None
    except ValueError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadInput(f"{weights} cannot be read: {error.strerror or error}") from None
    net = loaded.architecture
    mesh = make_mesh(net, devices, layout=layout)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), loaded.params)
    params = jax.device_put(params, alexnet_jax.param_shardings(mesh, net))
    names = loaded.class_names or tuple(map(str, range(net.classes)))
    descriptions: dict[str, str] = {}
    for devkit in (False, True):
        if names == imagenet.class_names(devkit=devkit):  # by synset: two classes are called crane
            descriptions = imagenet.descriptions(devkit=devkit)
            names = tuple(descriptions)
    source = os.fspath(weights)
    return Predictor(source, net, params, loaded.preprocessing, names, mesh, descriptions)


def _open_run(run_dir: Path, checkpoint: str | int, devices: int, layout: Layout) -> Predictor:
    """Read a checkpoint of a run."""
    config, data = load_config(run_dir), read_record(run_dir)["data"]
    class_names, descriptions = tuple(data["class_names"]), dict(data.get("words", {}))
    architecture = get_architecture(config).with_classes(len(class_names))
    mesh = make_mesh(architecture, devices, layout=layout)
    size, rule = stored_size(config, architecture), RULES.get(config.recipe.resize, RULES["crop"])
    preprocessing = Preprocessing(
        stored_size=size,
        input_size=architecture.image_sizes[0],
        mean=read_mean(run_dir, size),
        resize=rule.resize,
        interpolation=rule.interpolation,
    )
    optimizer = OPTIMIZERS[config.recipe.optimizer]()
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), architecture, optimizer))
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        step = checkpoints.find(checkpoint)
        state, _ = checkpoints.restore(step, like, state_shardings(architecture, optimizer, mesh))
    return Predictor(
        str(run_dir),
        architecture,
        state.params,
        preprocessing,
        class_names,
        mesh,
        descriptions,
        step,
        config,
    )
