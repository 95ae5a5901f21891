"""Fine-tuning: runs that start from learned parameters, and layers that stay frozen."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

import alexnet_jax
from alexnet_jax import Architecture, BatchStats, Layer, Params, architectures
from alexnet_jax.architectures.compare import same_computation
from alexnet_jax.layer_specs import Conv
from alexnet_jax.printable import printable
from alexnet_jax.weights import imagenet

from ..config.config import Config
from ..config.errors import BadInput, list_some
from ..config.network import check_layers
from ..data.examples import DataSet
from ..data.image_statistics import write_statistics
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import load_or_measure_statistics
from ..runtime.distributed import barrier, is_main_process
from ..steps.train_step import TrainState


@dataclass(frozen=True)
class InitialWeights:
    """Learned parameters to start from, and the mean that was subtracted from their images."""

    source: Path
    architecture: Architecture
    """With the number of classes that they were learned for."""
    params: Params
    """As NumPy arrays, for pixels from 0 to 255."""
    mean: np.ndarray
    """[3] or [size, size, 3], RGB, 0 to 255."""
    class_names: tuple[str, ...] = ()
    """By index; empty where they are not known."""
    keeps_output: bool = True
    """Whether the output layer is taken too, because the classes are those of the data."""
    rescaled: bool = False
    """Whether they were learned on another scale of pixels, which the first kernels now include."""

    def keep_mean(self, run_dir: Path, data: DataSet) -> None:
        """Make the run subtract this mean, not that of its own images.

        A mean image is kept if it has the size of the stored images; else one mean per color.
        """
        own = load_or_measure_statistics(run_dir, data)
        mean = np.asarray(self.mean, np.float32)
        if mean.shape != own.mean.shape:
            mean = np.broadcast_to(mean.reshape(-1, 3).mean(axis=0), own.mean.shape)
        if is_main_process():
            write_statistics(run_dir, own._replace(mean=mean))
        barrier("the mean of the weights")

    def apply_to(self, state: TrainState, architecture: Architecture) -> TrainState:
        """Return the state with these parameters.

        If the classes differ, the output layer keeps its initial values.
        """
        left_out = None if self.keeps_output else architecture.layer_info()[-1].name
        learned = {name: x for name, x in self.params.items() if name != left_out}
        shardings = {
            name: jax.tree.map(lambda x: x.sharding, state.params[name]) for name in learned
        }
        params = state.params | jax.device_put(learned, shardings)
        return dataclasses.replace(state, params=params)


def frozen_layers(config: Config, architecture: Architecture) -> tuple[str, ...]:
    """Return the names of the frozen layers. Raises BadInput for one without parameters."""
    listed = (config.recipe.freeze or "").split(",")
    frozen = tuple(name.strip() for name in listed if name.strip())
    check_layers("freeze", frozen, architecture)
    layers = {info.name for info in architecture.layer_info() if info.weight_shape}
    if {*frozen} == layers:
        raise BadInput("`freeze` names every layer, so that nothing is left to learn")
    return frozen


def read_initial_weights(
    config: Config, architecture: Architecture, class_names: Sequence[str] = ()
) -> InitialWeights | None:
    """Read the weights that the run starts from; None if it starts from scratch, or has started.

    `architecture` has as many classes as the data, whose names are `class_names`. Raises BadInput
    if the weights cannot be read or belong to another network, or if `freeze` or `classes` is
    wrong.
    """
    frozen, init = frozen_layers(config, architecture), config.recipe.init
    if config.data.classes not in (None, architecture.classes):
        where = config.data.path or "the package"
        raise BadInput(
            f"`classes` {config.data.classes}: the data in {where} have {architecture.classes}"
        )
    if init is None or _has_started(config):
        return None
    initial = _read(init)
    if not same_computation(initial.architecture, architecture):
        held = initial.architecture.name
        known = held != architecture.name and held in {net.name for net in architectures.NETS}
        hint = f"; `net` {held} continues it" if known else ""
        raise BadInput(
            f"`init` {init} holds a network {held}, whose layers are not those of "
            f"`net` {architecture.name}{hint}"
        )
    first = _first_layer(architecture)
    if initial.rescaled and first not in frozen:
        raise BadInput(
            f"`init` {init} was learned on pixels of another scale, for which the learning rate of "
            f"{first} would be wrong; `freeze` {first} continues it"
        )
    same = initial.architecture.classes == architecture.classes and not _differ(
        initial.class_names, class_names
    )
    return dataclasses.replace(initial, keeps_output=same)


def _differ(known: Sequence[str], names: Sequence[str]) -> bool:
    """Whether both name the classes, and some by another name; "tench" may name n01440764."""
    if not known or not names:
        return False
    words = imagenet.descriptions()
    return any(
        name not in (one, *words.get(one, "").split(", "))
        for one, name in zip(known, names, strict=False)
    )


def describe(
    config: Config, architecture: Architecture, initial: InitialWeights | None
) -> str | None:
    """Return a line that says what the run starts from and what is frozen; None if neither."""
    parts = []
    if initial is not None:
        parts.append(f"starts from {initial.source}")
        head, before = architecture.layer_info()[-1].name, initial.architecture.classes
        if before != architecture.classes:
            parts.append(
                f"{head} drawn anew for {architecture.classes} classes in place of {before}"
            )
        elif not initial.keeps_output:
            names = list_some(map(printable, initial.class_names), 3)
            parts.append(f"{head} drawn anew, as its {before} classes were others: {names}")
        elif not initial.class_names:
            parts.append(f"{head} kept, whose {before} classes have no names there")
    if config.recipe.freeze:
        parts.append(f"frozen: {', '.join(frozen_layers(config, architecture))}")
    return "; ".join(parts) or None


def _has_started(config: Config) -> bool:
    """Whether the run that is resumed has a checkpoint."""
    run_dir = config.launch.run_dir
    if not config.launch.resume or run_dir is None or not (run_dir / "checkpoints").is_dir():
        return False
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        return checkpoints.latest_step() is not None


def _read(path: Path) -> InitialWeights:
    """Read a run folder, a file of weights or, by a name, published weights."""
    try:
        _, params, architecture, preprocessing, class_names = alexnet_jax.read(path)
    except FileNotFoundError:
        raise BadInput(f"`init` {path} does not exist") from None
    except (ValueError, OSError) as error:
        raise BadInput(f"`init` {error}") from None
    # (scale * x - mean) / std = (x - mean / scale) * gain
    gain = preprocessing.scale / np.asarray(preprocessing.std, np.float32)
    learned: Params = {name: _on_host(layer) for name, layer in params.items()}
    rescaled = bool((gain != 1).any())
    if rescaled:
        first = next(info for info in architecture.layer_info() if info.weight_shape)
        if not isinstance(first.spec, Conv):
            raise BadInput(
                f"`init` {path} was learned on pixels of another scale, which {first.name}, "
                "no convolution, cannot include"
            )
        weights, biases = learned[first.name]
        learned[first.name] = Layer(weights * gain[:, None], biases)
    mean = preprocessing.mean / np.float32(preprocessing.scale)
    return InitialWeights(path, architecture, learned, mean, class_names, rescaled=rescaled)


def _first_layer(architecture: Architecture) -> str:
    return next(info.name for info in architecture.layer_info() if info.weight_shape)


def _on_host(layer: Layer | BatchStats) -> Layer | BatchStats:
    """Copy to float32 in host memory, apart from arrays that a step may overwrite."""
    return jax.tree.map(lambda leaf: np.array(leaf, np.float32), layer)
