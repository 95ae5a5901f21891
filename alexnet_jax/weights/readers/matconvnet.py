"""MatConvNet's imagenet-caffe-alex.mat and -ref.mat: Caffe's weights, turned to MATLAB's axes.

Kernels are [height, width, maps_in, maps_out] and dense layers kernels as large as the maps. Its
importer has turned the colors to RGB already, and the mean image.
"""

import dataclasses
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET
from alexnet_jax.layer_specs import Conv, Dense, MaxPool, Relu, ResponseNorm
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.loaded import LoadedWeights, fitted, params_of
from alexnet_jax.weights.matching import Found, ParsedSpec, matched, pooled
from alexnet_jax.weights.readers import caffe

_WITHOUT_EFFECT = ("dropout", "softmax", "softmaxloss")
Struct = dict[str, Any]


def read_weights(
    found: Struct, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what a net of MatConvNet's SimpleNN holds whose layers are those of CAFFE or CAFFENET.

    Args:
      found: the variables of the file.
      architecture: the net it has to be instead.
      mean: Caffe's mean image, in the place of the file's own, which is that one made smaller.

    Raises:
      ValueError: a net that is another one, or is damaged.
    """
    layers = found.get("layers")
    if "params" in found or not isinstance(layers, list | np.ndarray):
        raise ValueError("it holds no net of MatConvNet's SimpleNN")
    kinds = [layer["type"] for layer in layers]
    last_maps = max((i for i, kind in enumerate(kinds) if kind == "pool"), default=-1)
    laid = [_found(layer, dense=i > last_maps) for i, layer in enumerate(layers)]
    net, arrays = matched([layer for layer in laid if layer], (CAFFE, CAFFENET), architecture)
    params = params_of(net, arrays, outputs_first=False)
    about = found.get("meta", found)
    seen = caffe.preprocessing(net, mean)
    if mean is None:
        seen = fitted(_preprocessing(about.get("normalization", {}), seen), net)
    return LoadedWeights("MatConvNet's", params, net, seen, _class_names(about.get("classes"), net))


def _found(layer: Struct, dense: bool) -> Found | None:
    """What the file says of a layer; None if it has no effect at test time."""
    kind, name = layer["type"], str(layer.get("name", "a layer without name"))
    if kind in _WITHOUT_EFFECT:
        return None
    try:
        word = _word(kind, layer, dense)
        if isinstance(word, MaxPool):
            return pooled(name, word, rounds_up=False)
        if not isinstance(word, Conv | Dense):
            return Found(name, word)
        pair = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
        weights, biases = (np.asarray(array) for array in pair)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if dense:
        weights = weights.reshape(-1, weights.shape[-1])  # over rows, columns, maps: as ours
    return Found(name, word, (weights, biases.reshape(-1)))


def _word(kind: str, layer: Struct, dense: bool) -> ParsedSpec:
    match kind:
        case "conv":
            if _same(layer.get("dilate", 1)) != 1:
                raise ValueError("its kernels are dilated")
            stride, padding = _same(layer["stride"]), _padding(layer["pad"])
            if dense and (stride, padding) != (1, (0, 0)):
                raise ValueError("it is a convolution where a dense layer should be")
            return Dense("", 0) if dense else Conv("", 0, 0, stride, padding)
        case "relu":
            if layer.get("leak", 0):
                raise ValueError("it lets a part of negative values through")
            return Relu()
        case "lrn" | "normalize":
            n, k, alpha, beta = np.asarray(layer["param"], np.float64)
            # MatConvNet does not divide alpha by n; its importer has done it.
            alpha = float(f"{n * alpha:.6g}")
            return ResponseNorm(int(n), float(k), alpha, float(beta), divide_alpha_by_n=True)
        case "pool":
            if layer["method"] != "max":
                raise ValueError("it does not take the largest value")
            return MaxPool(_same(layer["pool"]), _same(layer["stride"]), _padding(layer["pad"]))
    raise ValueError(f"it is of the type {kind}, which is not known")


def _same(values: Any) -> int:
    """The one value of a setting that may be given once or for each axis."""
    first, *others = np.ravel(values)
    if any(other != first for other in others):
        raise ValueError(f"it is not the same along both axes: {np.ravel(values).tolist()}")
    return int(first)


def _padding(values: Any) -> tuple[int, int]:
    top, bottom, left, right = np.broadcast_to(np.ravel(values), 4)
    return _same([top, left]), _same([bottom, right])


def _preprocessing(said: Struct, default: Preprocessing) -> Preprocessing:
    """What the file says of it; `default` where it says nothing."""
    average = np.asarray(said.get("averageImage", ()), np.float32)
    size = average.shape[0] if average.ndim == 3 else default.input_size
    border = np.ravel(said.get("border", default.stored_size - default.input_size))
    stored = size + _same(border)
    before = (stored - size) // 2
    if average.ndim == 3:  # of what the net reads; around it stands what nobody reads
        around = (before, stored - size - before)
        average = np.pad(average, (around, around, (0, 0)), mode="edge")
    return dataclasses.replace(
        default,
        stored_size=stored,
        input_size=size,
        mean=average if average.size >= 3 else default.mean,
        resize="shorter side" if said.get("keepAspect") else "both sides",
        interpolation="cubic" if said.get("interpolation") == "bicubic" else "linear",
        source_colors="RGB",
    )


def _class_names(classes: Any, net: Architecture) -> tuple[str, ...]:
    names = classes.get("description", ()) if isinstance(classes, dict) else ()
    names = tuple(map(str, names)) if isinstance(names, list | np.ndarray) else ()
    return names if len(names) == net.classes else ()
