"""Checkpoints of cuda-convnet, which trained the paper's networks, and of cuda-convnet2.

A checkpoint is a pickle of the layers, with every setting of their definition, and of the program's
options. Each tower has layers of its own, conv1a and conv1b; a layer with input from both towers
has one matrix of weights for each.
"""

import mmap
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import ONE_WEIRD_TRICK, original
from alexnet_jax.layer_specs import Conv, Dense, Dropout, MaxPool, Relu, ResponseNorm, SpatialNorm
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights import imagenet
from alexnet_jax.weights.files.pickled_numpy import NUMPY_NAMES, PickledArray
from alexnet_jax.weights.files.restricted_pickle import (
    MAX_NAME,
    PickledObject,
    load_pickle,
    make_dict,
)
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, fit_preprocessing
from alexnet_jax.weights.matching import ParsedLayer, ParsedSpec, match_architecture

PREPROCESSING = Preprocessing(
    stored_size=256, input_size=224, mean=np.array([127.30, 119.72, 104.91])
)
"""That of its convdata.py at test time, with the means of Krizhevsky's own mean image."""

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
_SETTINGS = {"name", "type", "inputs", "weights", "biases", "sharedBiases", "groups", "padding"}
_SETTINGS |= {"filterSize", "stride", "imgSize", "modulesX", "outputsX", "sizeX", "start", "pool"}
_SETTINGS |= {"neuron", "size", "scale", "pow", "minDiv", "blocked", "keep"}
_MAX_LAYERS = 1000  # all of both towers; net 145 has 51
_MAX_ITEMS = 100  # of a setting

LayerDict = dict[str, Any]


class _Names(dict):
    """Arrays and ordered dictionaries; options and parsers, which are not needed, are ignored."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, str]) -> type:
        return PickledObject


def read_weights(data: mmap.mmap, architecture: Architecture | None) -> LoadedWeights:
    """Return what a checkpoint holds.

    Args:
      data: the file, from its beginning.
      architecture: the network that the file must hold; None for any of `NETS`, with any number of
        classes.

    Raises:
      ValueError: a pickle of something else, another network, or a damaged one.
    """
    names = _Names({**NUMPY_NAMES, ("collections", "OrderedDict"): make_dict})
    state = load_pickle(data, names)
    layers = state.get("model_state", {}).get("layers") if isinstance(state, dict) else None
    layers = list(layers.values()) if isinstance(layers, dict) else layers
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ValueError("it is a pickle, but not a checkpoint of cuda-convnet")
    layers = _check_settings(layers, len(data))
    rows = _group_by_depth(layers)
    towers = max(map(len, rows), default=0)
    parsed = [_parse_row(row, towers) for row in rows]
    candidates = [net for net in NETS if net.towers == towers]
    if not candidates:
        raise ValueError(f"it has {towers} towers")
    net, arrays = match_architecture(parsed, candidates, architecture)
    params = convert_params(net, arrays, outputs_first=True)
    preprocessing = fit_preprocessing(PREPROCESSING, net)
    # Its batches of ImageNet number the classes as the development kit does.
    names = imagenet.class_names(devkit=True)
    names = names if net.classes == len(names) else ()
    return LoadedWeights("cuda-convnet's", params, net, preprocessing, names)


def _check_settings(layers: list[LayerDict], max_bytes: int) -> list[LayerDict]:
    """The settings that are read here, of the types that they can have."""
    if len(layers) > _MAX_LAYERS:
        raise ValueError(f"it has {len(layers):,} layers")
    checked = []
    for layer in layers:
        settings = {key: _plain(layer[key]) for key in layer.keys() & _SETTINGS}
        if not all(isinstance(settings.get(key), str) for key in ("name", "type")):
            raise ValueError("it has a layer without a name or a type")
        matrices = settings.get("weights")
        matrices = matrices if isinstance(matrices, list) else []
        for matrix in (*matrices, settings.get("biases")):
            max_bytes -= matrix.size_in_file() if isinstance(matrix, PickledArray) else 0
        checked.append(settings)
    if max_bytes < 0:
        raise ValueError("its layers share weights, which those of cuda-convnet do not")
    return checked


def _plain(value: Any, depth: int = 1) -> Any:
    """A setting without what can be nested, long or large; None in its place."""
    match value:
        case str() if len(value) <= MAX_NAME:
            return value
        case int() if abs(value) < 2**31:
            return value
        case float() | PickledArray():
            return value
        case [*items] if depth and len(items) <= _MAX_ITEMS:
            return [_plain(item, depth - 1) for item in items]
        case dict() if depth and len(value) <= _MAX_ITEMS:
            return {key: _plain(item, depth - 1) for key, item in value.items()}
    return None


def _group_by_depth(layers: list[LayerDict]) -> list[list[LayerDict]]:
    """The layers that have an effect at test time, in rows: one layer of all towers in each."""
    depths: dict[int, int] = {}

    def depth(index: int) -> int:
        if index not in depths:
            before = [depth(source) for source in layers[index]["sources"]]
            depths[index] = 1 + max(before, default=-1)
        return depths[index]

    indices = {layer["name"]: index for index, layer in enumerate(layers)}
    for layer in layers:  # cuda-convnet refers to inputs by index, cuda-convnet2 by name
        inputs = layer.get("inputs", [])
        layer["sources"] = [indices[one] if isinstance(one, str) else one for one in inputs]
    rows: dict[int, list[LayerDict]] = {}
    for index, layer in enumerate(layers):
        if layer["type"] not in _WITHOUT_EFFECT:
            rows.setdefault(depth(index), []).append(layer)
    return [rows[key] for key in sorted(rows)]


def _parse_row(row: list[LayerDict], towers: int) -> ParsedLayer:
    """One layer of all towers."""
    name = row[0]["name"]
    try:
        specs = [_parse_spec(layer) for layer in row]
        if len(set(specs)) > 1 or len(row) not in (1, towers):
            raise ValueError("it is not the same in all towers")
        sources = [layer["sources"][0] for layer in row if len(layer["sources"]) == 1]
        if sources != sorted(sources):
            raise ValueError("its towers are in another order than those before")
        if not isinstance(specs[0], Conv | Dense):
            return ParsedLayer(name, specs[0])
        weights = np.concatenate([_weights(layer, specs[0]) for layer in row])
        biases = np.concatenate([layer["biases"].numbers().reshape(-1) for layer in row])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except (KeyError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(f"{name} has a missing or malformed setting: {error!r}") from None
    return ParsedLayer(name, specs[0], (weights, biases))


def _parse_spec(layer: LayerDict) -> ParsedSpec:
    match layer["type"]:
        case "conv":
            [size], [stride], [pixels] = (
                set(layer[key]) for key in ("filterSize", "stride", "imgSize")
            )
            [before] = {abs(pad) for pad in layer["padding"]}  # stored as the first window's start
            after = _padding_after(layer["modulesX"], stride, size, pixels, before)
            if set(layer.get("groups", [1])) != {1} or not layer.get("sharedBiases", True):
                raise ValueError("it has groups, or biases for each pixel")
            return Conv("conv", 1, 1, stride, (before, after))
        case "fc":
            return Dense("dense", 1)
        case "neuron" if layer["neuron"]["type"] == "relu":
            return Relu()
        case "pool" if layer["pool"] == "max":
            size, stride, before = layer["sizeX"], layer["stride"], -layer["start"]
            after = _padding_after(layer["outputsX"], stride, size, layer["imgSize"], before)
            return MaxPool(size, stride, (before, after))
        case "cmrnorm" | "rnorm" as kind if not layer.get("blocked"):
            size, k, beta = layer["size"], float(layer.get("minDiv", 1)), float(layer["pow"])
            # When it read the definition, the program divided the scale by the window: by size^2
            # for rnorm, by size for cmrnorm. Undo that.
            if kind == "rnorm":
                return SpatialNorm(size, k, _round(layer["scale"] * size**2), beta)
            return ResponseNorm(size, k, _round(layer["scale"] * size), beta, True)
        case "dropout" | "dropout2" | "hs" if layer["keep"] == 0.5:
            return Dropout()
    raise ValueError(f"its type {layer['type']}, or one of its settings, is not supported")


def _padding_after(windows: int, stride: int, size: int, pixels: int, before: int) -> int:
    """The number of pixels by which the last window reaches past the edge."""
    return max(0, stride * (windows - 1) + size - pixels - before)


def _round(alpha: float) -> float:
    """To six digits, without the rounding error of a division and a multiplication."""
    return float(f"{alpha:.6g}")


def _weights(layer: LayerDict, spec: Conv | Dense) -> np.ndarray:
    """The weights of one tower's layer for all its inputs: [out, in, height, width], [out, in]."""
    parts = [matrix.numbers() for matrix in layer["weights"]]
    if len(parts) != len(layer["sources"]):
        raise ValueError(
            f"it has {len(parts)} matrices of weights for {len(layer['sources'])} inputs"
        )
    if isinstance(spec, Conv):
        [size] = set(layer["filterSize"])
        parts = [part.reshape(-1, size, size, part.shape[-1]) for part in parts]
    # In the order of the towers: a layer of the second lists its own tower first.
    by_tower = sorted(zip(layer["sources"], parts, strict=True), key=lambda pair: pair[0])
    return np.moveaxis(np.concatenate([part for _, part in by_tower]), -1, 0)
