"""Checkpoints of cuda-convnet and cuda-convnet2, with which the paper's own nets were trained.

A pickle of the layers with all that their definition said, and of the program's options. Towers
are layers of their own, side by side: conv1a and conv1b. A layer that sees both has a matrix of
weights for each.
"""

import mmap
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import ONE_WEIRD_TRICK, original
from alexnet_jax.layer_specs import Conv, Dense, Dropout, MaxPool, Relu, ResponseNorm, SpatialNorm
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files import numpy_pickles
from alexnet_jax.weights.files.restricted_pickle import ordered, unpickled
from alexnet_jax.weights.loaded import LoadedWeights, fitted, params_of
from alexnet_jax.weights.matching import Found, ParsedSpec, matched

PREPROCESSING = Preprocessing(
    stored_size=256, input_size=224, mean=np.array([127.30, 119.72, 104.91])
)
"""As its convdata.py has it at test time, with the means of Krizhevsky's own mean image."""

NETS = (
    original.ORIGINAL,
    original.ORIGINAL_PLAIN_CONV2,
    original.ONE_GPU,
    original.NON_OVERLAPPING_POOL,
    original.NO_NORM,
    original.NO_COMMUNICATION,
    original.SIX_CONV,
    ONE_WEIRD_TRICK,
)
MAGIC = b"\x80\x02"  # of a pickle of protocol 2
_WITHOUT_EFFECT = ("data", "softmax", "cost.logreg")

Layer = dict[str, Any]


class _Ignored:
    """What stands for options and parsers, of which nothing is wanted."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Take an item of a list, and forget it."""


class _Names(dict):
    """Arrays, dictionaries with an order, and nothing else: all other names mean nothing."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, str]) -> type:
        return _Ignored


def read_weights(data: mmap.mmap, architecture: Architecture | None) -> LoadedWeights:
    """Return what a checkpoint holds.

    Args:
      data: the file, from its beginning.
      architecture: the net it has to be, if not one of the original program's, or cuda-convnet2's
        own, with any number of classes.

    Raises:
      ValueError: a pickle of something else, another net, or a damaged one.
    """
    names = _Names(numpy_pickles.NAMES | {("collections", "OrderedDict"): ordered})
    state = unpickled(data, names)
    layers = state.get("model_state", {}).get("layers") if isinstance(state, dict) else None
    layers = list(layers.values()) if isinstance(layers, dict) else layers
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ValueError("it is a pickle, but no checkpoint of cuda-convnet")
    rows = _rows(layers)
    towers = max(map(len, rows), default=0)
    found = [_found(row, towers) for row in rows]
    nets = [net for net in NETS if net.towers == towers]
    if not nets:
        raise ValueError(f"it has {towers} towers")
    net, arrays = matched(found, nets, architecture)
    params = params_of(net, arrays, outputs_first=True)
    return LoadedWeights("cuda-convnet's", params, net, fitted(PREPROCESSING, net))


def _rows(layers: list[Layer]) -> list[list[Layer]]:
    """The layers that have an effect at test time, those of all towers in one row."""
    depths: dict[int, int] = {}

    def depth(place: int) -> int:
        if place not in depths:
            seen = [depth(one) for one in layers[place]["sees"]]
            depths[place] = 1 + max(seen, default=-1)
        return depths[place]

    places = {layer["name"]: place for place, layer in enumerate(layers)}
    for layer in layers:  # cuda-convnet keeps places, the later one names
        keys = layer.get("inputs", [])
        layer["sees"] = [places[key] if isinstance(key, str) else key for key in keys]
    rows: dict[int, list[Layer]] = {}
    for place, layer in enumerate(layers):
        if layer["type"] not in _WITHOUT_EFFECT:
            rows.setdefault(depth(place), []).append(layer)
    return [rows[key] for key in sorted(rows)]


def _found(row: list[Layer], towers: int) -> Found:
    """What the file says of one layer of all towers."""
    name = row[0]["name"]
    try:
        words = [_word(layer) for layer in row]
        if len(set(words)) > 1 or len(row) not in (1, towers):
            raise ValueError("it is not the same in all towers")
        seen = [layer["sees"][0] for layer in row if len(layer["sees"]) == 1]
        if seen != sorted(seen):
            raise ValueError("its towers stand in another order than those before")
        if not isinstance(words[0], Conv | Dense):
            return Found(name, words[0])
        weights = np.concatenate([_weights(layer, words[0]) for layer in row])
        biases = np.concatenate([layer["biases"].numbers().reshape(-1) for layer in row])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except (KeyError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(f"{name} is not fully described: {error!r}") from None
    return Found(name, words[0], (weights, biases))


def _word(layer: Layer) -> ParsedSpec:
    match layer["type"]:
        case "conv":
            [size], [stride], [pixels] = (
                set(layer[key]) for key in ("filterSize", "stride", "imgSize")
            )
            [before] = {abs(pad) for pad in layer["padding"]}  # kept as where the first window is
            behind = _behind(layer["modulesX"], stride, size, pixels, before)
            if set(layer.get("groups", [1])) != {1} or not layer.get("sharedBiases", True):
                raise ValueError("it has groups, or biases for each pixel")
            return Conv("", 0, 0, stride, (before, behind))
        case "fc":
            return Dense("", 0)
        case "neuron" if layer["neuron"]["type"] == "relu":
            return Relu()
        case "pool" if layer["pool"] == "max":
            size, stride, before = layer["sizeX"], layer["stride"], -layer["start"]
            behind = _behind(layer["outputsX"], stride, size, layer["imgSize"], before)
            return MaxPool(size, stride, (before, behind))
        case "cmrnorm" | "rnorm" as kind if not layer.get("blocked"):
            size, k, beta = layer["size"], float(layer.get("minDiv", 1)), float(layer["pow"])
            if kind == "rnorm":  # the program has divided the scale when it read it
                return SpatialNorm(size, k, _rounded(layer["scale"] * size**2), beta)
            return ResponseNorm(size, k, _rounded(layer["scale"] * size), beta, True)
        case "dropout" | "dropout2" | "hs" if layer["keep"] == 0.5:
            return Dropout()
    raise ValueError(f"it is of the kind {layer['type']}, or has settings, that no net of ours has")


def _behind(windows: int, stride: int, size: int, pixels: int, before: int) -> int:
    """How many pixels past the last one the windows reach; the program lets them hang over."""
    return max(0, stride * (windows - 1) + size - pixels - before)


def _rounded(alpha: float) -> float:
    return float(f"{alpha:.6g}")


def _weights(layer: Layer, word: Conv | Dense) -> np.ndarray:
    """What one tower's layer has for all that it sees: [out, in, height, width] or [out, in]."""
    parts = [matrix.numbers() for matrix in layer["weights"]]
    if len(parts) != len(layer["sees"]):
        raise ValueError(f"it has {len(parts)} matrices of weights for {len(layer['sees'])} inputs")
    if isinstance(word, Conv):
        [size] = set(layer["filterSize"])
        parts = [part.reshape(-1, size, size, part.shape[-1]) for part in parts]
    # In the order of the towers: the second one names itself first.
    by_tower = sorted(zip(layer["sees"], parts, strict=True), key=lambda pair: pair[0])
    return np.moveaxis(np.concatenate([part for _, part in by_tower]), -1, 0)
