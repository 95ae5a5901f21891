"""Runs that begin with learned parameters: which those are, and which layers keep them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import alexnet_jax
from alexnet_jax import Architecture, Layer, Params, architectures
from alexnet_jax.layer_specs import BatchNorm, Conv, Dense, Dropout, LayerSpec, Output

from ..config.config import Config
from ..config.errors import BadInput
from ..data.dataset import DataSet
from ..data.image_statistics import write_statistics
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import load_or_measure_statistics
from ..runtime.distributed import barrier, is_main_process
from ..steps.train_step import TrainState


@dataclass(frozen=True)
class InitialWeights:
    """Learned parameters, and the mean that their images had subtracted."""

    source: Path
    architecture: Architecture
    """With as many classes as they were learned for."""
    params: Params
    """As arrays of NumPy, for pixels from 0 to 255."""
    mean: np.ndarray
    """[3] or [size, size, 3], RGB, 0 to 255."""
    scaled: bool = False
    """Whether they were learned on another scale of pixels, which now is in the first kernels."""

    def keep_mean(self, run_dir: Path, data: DataSet) -> None:
        """Let the run subtract this mean, and not that of its own images.

        As a mean image if it has the size of the stored images, else as one number a color.
        """
        own = load_or_measure_statistics(run_dir, data)
        mean = np.asarray(self.mean, np.float32)
        if mean.shape != own.mean.shape:
            mean = np.broadcast_to(mean.reshape(-1, 3).mean(axis=0), own.mean.shape)
        if is_main_process():
            write_statistics(run_dir, own._replace(mean=mean))
        barrier("the mean of the weights")

    def apply_to(self, state: TrainState, architecture: Architecture) -> TrainState:
        """Return the state with these parameters in place of those drawn.

        Of another number of classes, the output layer's stay as they were drawn.
        """
        last = architecture.layer_info()[-1].name
        fits = self.architecture.classes == architecture.classes
        kept = {name: x for name, x in self.params.items() if fits or name != last}
        lies = {name: jax.tree.map(lambda x: x.sharding, state.params[name]) for name in kept}
        params = state.params | jax.device_put(kept, lies)
        return state.replace(params=params)  # pyright: ignore[reportAttributeAccessIssue]


def frozen_layers(config: Config, architecture: Architecture) -> tuple[str, ...]:
    """Return the names in `--freeze`. Raises BadInput if one is no layer that learns."""
    learning = [info.name for info in architecture.layer_info() if info.weight_shape]
    named = tuple(name.strip() for name in (config.recipe.freeze or "").split(",") if name.strip())
    for name in named:
        if name not in learning:
            layers = ", ".join(learning)
            raise BadInput(f"--freeze: {architecture.name} has no layer {name!r}, but {layers}")
    if {*named} == {*learning}:
        raise BadInput("--freeze names every layer, so that nothing is left to learn")
    return named


def read_initial_weights(config: Config, architecture: Architecture) -> InitialWeights | None:
    """Read what `--init` names; None without it, and for a run that has gone beyond its beginning.

    `architecture` has as many classes as the data. Raises BadInput if what is named cannot be read
    or belongs to another net, or if `--freeze` or `--classes` is wrong.
    """
    frozen = frozen_layers(config, architecture)
    if config.data.classes not in (None, architecture.classes):
        where = config.data.path or "the package"
        raise BadInput(
            f"--classes {config.data.classes}: the data in {where} have {architecture.classes}"
        )
    if config.recipe.init is None or _has_begun(config):
        return None
    beginning = _read(config.recipe.init)
    if _computation(beginning.architecture) != _computation(architecture):
        held = beginning.architecture.name
        known = held != architecture.name and held in {net.name for net in architectures.NETS}
        hint = f"; --net {held} goes on with it" if known else ""
        raise BadInput(
            f"--init {config.recipe.init} holds a net {held}, whose layers are not those of "
            f"--net {architecture.name}{hint}"
        )
    first = _first(architecture)
    if beginning.scaled and first not in frozen:
        raise BadInput(
            f"--init {config.recipe.init} was learned on pixels of another scale, for which the rates of "
            f"{first} would be wrong; --freeze {first} goes on with it"
        )
    return beginning


def heading(
    config: Config, architecture: Architecture, beginning: InitialWeights | None
) -> str | None:
    """Return a line that says what a run begins with and what stays; None if nothing is learned."""
    parts = []
    if beginning is not None:
        parts.append(f"begins with {beginning.source}")
        if beginning.architecture.classes != architecture.classes:
            head, before = architecture.layer_info()[-1].name, beginning.architecture.classes
            parts.append(
                f"{head} drawn anew for {architecture.classes} classes in place of {before}"
            )
    if config.recipe.freeze:
        parts.append(f"frozen: {', '.join(frozen_layers(config, architecture))}")
    return "; ".join(parts) or None


def _has_begun(config: Config) -> bool:
    if not config.launch.resume or config.launch.run_dir is None:
        return False
    if not (config.launch.run_dir / "checkpoints").is_dir():
        return False
    with Checkpoints(config.launch.run_dir, read_only=True) as checkpoints:
        return checkpoints.latest_step() is not None


def _read(path: Path) -> InitialWeights:
    if not path.exists():
        raise BadInput(f"--init {path} does not exist")
    try:
        params, architecture, preprocessing = alexnet_jax.load(path)
    except (ValueError, OSError) as error:
        raise BadInput(f"--init {error}") from None
    # (scale * x - mean) / std = (x - mean / scale) * gain
    gain = preprocessing.scale / np.asarray(preprocessing.std, np.float32)
    learned: dict[str, Any] = {name: _on_host(layer) for name, layer in params.items()}
    first = _first(architecture)
    weights, biases = learned[first]
    learned[first] = Layer(weights * gain[:, None], biases)
    mean = preprocessing.mean / np.float32(preprocessing.scale)
    return InitialWeights(path, architecture, learned, mean, scaled=bool((gain != 1).any()))


def _first(architecture: Architecture) -> str:
    return next(info.name for info in architecture.layer_info() if info.weight_shape)


def _on_host(layer: Layer) -> Any:
    """The same as float32 in host memory, apart from arrays that a step may overwrite."""
    return type(layer)(*(np.array(leaf, np.float32) for leaf in layer))  # pyright: ignore[reportArgumentType]


def _computation(net: Architecture) -> tuple[int, list[LayerSpec]]:
    """What a net computes at test time, whatever it starts from and how many classes it has."""
    words: list[LayerSpec] = []
    for word in net.with_classes(1).layers:
        match word:
            case Conv() | Dense() | Output():
                words.append(dataclasses.replace(word, std=0.0, bias=0.0))
            case BatchNorm():
                words.append(dataclasses.replace(word, momentum=0.0))
            case Dropout(inverted=True):
                pass
            case _:
                words.append(word)
    return net.towers, words
