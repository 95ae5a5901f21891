"""MatConvNet's .mat files: Caffe's weights with MATLAB's axes, and networks trained by MatConvNet.

imagenet-caffe-alex.mat and -ref.mat are Caffe's; imagenet-matconvnet-alex.mat was trained with
batch normalization, which its authors merged into the kernels, and without response normalization.
Kernels are [height, width, maps_in, maps_out], and dense layers are kernels as large as the maps.
MatConvNet's importer has already converted the kernels and the mean image to RGB.
"""

import dataclasses
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE, CAFFENET
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Gather,
    LayerSpec,
    MaxPool,
    Relu,
    ResponseNorm,
    Split,
)
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, fit_preprocessing
from alexnet_jax.weights.matching import ParsedLayer, ParsedSpec, match_architecture, parsed_pool
from alexnet_jax.weights.readers import caffe

_WITHOUT_EFFECT = ("dropout", "softmax", "softmaxloss")
_MAX_SIZE = 1024  # pixels
Struct = dict[str, Any]


def read_weights(
    variables: Struct, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what a SimpleNN network of MatConvNet holds.

    Args:
      variables: of the file.
      architecture: the network that it must be, if not CAFFE, CAFFENET or CAFFE without norms,
        with any number of classes.
      mean: Caffe's mean image; it replaces the file's own, which is a smaller copy of it.

    Raises:
      ValueError: another network, or a damaged one.
    """
    layers = variables.get("layers")
    if "params" in variables or not isinstance(layers, list):
        raise ValueError("it holds no SimpleNN network of MatConvNet")
    if not all(isinstance(o, dict) and isinstance(o.get("type"), str) for o in layers):
        raise ValueError("it has a layer without a type")
    candidates = (CAFFE, CAFFENET, _without_norms(CAFFE))
    net, arrays = match_architecture(_parse_layers(layers), candidates, architecture)
    params = convert_params(net, arrays, outputs_first=False)
    meta = variables.get("meta")
    meta = meta if isinstance(meta, dict) else variables
    preprocessing = caffe.make_preprocessing(net, mean)
    if mean is None:
        normalization = meta.get("normalization")
        normalization = normalization if isinstance(normalization, dict) else {}
        preprocessing = fit_preprocessing(_preprocessing(normalization, preprocessing), net)
    names = _class_names(meta.get("classes"), net)
    return LoadedWeights("MatConvNet's", params, net, preprocessing, names)


def _without_norms(net: Architecture) -> Architecture:
    layers: list[LayerSpec] = []
    for spec in net.layers:
        if isinstance(spec, Split):
            layers.remove(Gather())  # the towers met for the normalization only
        elif not isinstance(spec, ResponseNorm):
            layers.append(spec)
    return dataclasses.replace(net, name=f"{net.name}_WITHOUT_NORM", layers=tuple(layers))


def _parse_layers(layers: list[Struct]) -> list[ParsedLayer]:
    """The layers that have an effect at test time."""
    pools = [i for i, layer in enumerate(layers) if layer["type"] == "pool"]
    parsed: list[ParsedLayer] = []
    for i, layer in enumerate(layers):
        if layer["type"] == "bnorm":
            before = parsed.pop() if parsed else None
            if before is None or before.arrays is None:
                raise ValueError("it has batch normalization that follows no convolution")
            parsed.append(before._replace(arrays=_merge_batch_norm(*before.arrays, layer)))
        elif parsed_layer := _parse_layer(layer, dense=i > max(pools, default=-1)):
            parsed.append(parsed_layer)
    return parsed


def _merge_batch_norm(
    weights: np.ndarray, biases: np.ndarray, norm: Struct
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases that scale and shift the maps as the normalization after them does."""
    scale, offset, moments = (np.asarray(array, "f4") for array in norm["weights"])
    if not scale.shape == offset.shape == moments.shape[:1] == biases.shape or moments.ndim != 2:
        raise ValueError("its batch normalization has other maps than the convolution before it")
    mean, deviation = moments[:, 0], moments[:, 1]  # the square root of the variance + epsilon
    factor = scale / deviation
    return weights * factor, (biases - mean) * factor + offset


def _parse_layer(layer: Struct, dense: bool) -> ParsedLayer | None:
    """The layer that the file describes, None if it has no effect at test time."""
    kind, name = layer["type"], str(layer.get("name", "a layer without a name"))
    if kind in _WITHOUT_EFFECT:
        return None
    try:
        spec = _parse_spec(kind, layer, dense)
        if isinstance(spec, MaxPool):
            return parsed_pool(name, spec, rounds_up=False)
        if not isinstance(spec, Conv | Dense):
            return ParsedLayer(name, spec)
        pair = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
        weights, biases = (np.asarray(array) for array in pair)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if dense:
        weights = weights.reshape(-1, weights.shape[-1])  # over rows, columns, maps: as ours
    return ParsedLayer(name, spec, (weights, biases.reshape(-1)))


def _parse_spec(kind: str, layer: Struct, dense: bool) -> ParsedSpec:
    match kind:
        case "conv":
            if _single_value(layer.get("dilate", 1)) != 1:
                raise ValueError("its kernels are dilated")
            stride, padding = _single_value(layer["stride"]), _padding(layer["pad"])
            if dense and (stride, padding) != (1, (0, 0)):
                raise ValueError("it is a convolution where a dense layer should be")
            return Dense("dense", 1) if dense else Conv("conv", 1, 1, stride, padding)
        case "relu":
            if layer.get("leak", 0):
                raise ValueError("it is a leaky ReLU")
            return Relu()
        case "lrn" | "normalize":
            n, k, alpha, beta = np.asarray(layer["param"], np.float64)
            # MatConvNet does not divide alpha by n; its importer divided Caffe's by it.
            alpha = float(f"{n * alpha:.6g}")
            return ResponseNorm(int(n), float(k), alpha, float(beta), divide_alpha_by_n=True)
        case "pool":
            if layer["method"] != "max":
                raise ValueError("it is not max pooling")
            return MaxPool(
                _single_value(layer["pool"]), _single_value(layer["stride"]), _padding(layer["pad"])
            )
    raise ValueError(f"its type {kind} is not supported")


def _single_value(values: Any) -> int:
    """The value of a setting, which a file may state once or per axis."""
    first, *others = np.ravel(values)
    if any(other != first for other in others):
        raise ValueError(f"it is not the same along both axes: {np.ravel(values).tolist()}")
    return int(first)


def _padding(values: Any) -> tuple[int, int]:
    top, bottom, left, right = np.broadcast_to(np.ravel(values), 4)
    return _single_value([top, left]), _single_value([bottom, right])


def _preprocessing(normalization: Struct, default: Preprocessing) -> Preprocessing:
    """The preprocessing in the file, with the `default` of each field that it lacks."""
    average = np.asarray(normalization.get("averageImage", ()), np.float32)
    size = average.shape[0] if average.ndim == 3 else default.input_size
    stored = _stored_size(normalization, size, default)
    # Files with a cropSize come from a program with these two defaults.
    newer = "cropSize" in normalization
    keeps_aspect = bool(np.any(normalization.get("keepAspect", newer)))
    interpolation = normalization.get("interpolation", "bicubic" if newer else "")
    before = (stored - size) // 2
    if average.ndim == 3:  # of the center crop; the rest of the mean image is never subtracted
        margin = (before, stored - size - before)
        average = np.pad(average, (margin, margin, (0, 0)), mode="edge")
    return dataclasses.replace(
        default,
        stored_size=stored,
        input_size=size,
        mean=average if average.size >= 3 else default.mean,
        resize="shorter side" if keeps_aspect else "both sides",
        interpolation="cubic" if interpolation == "bicubic" else "linear",
        source_colors="RGB",
    )


def _stored_size(normalization: Struct, size: int, default: Preprocessing) -> int:
    """The size to which pictures are resized before they are cropped."""
    if "border" in normalization:
        stored = size + _single_value(normalization["border"])
    elif "cropSize" in normalization:  # a fraction
        stored = round(size / float(np.max(normalization["cropSize"])))
    else:
        stored = size + default.stored_size - default.input_size
    if not size <= stored <= _MAX_SIZE:
        raise ValueError(f"its pictures of {size} pixels are cropped out of {stored}")
    return stored


def _class_names(classes: Any, net: Architecture) -> tuple[str, ...]:
    names = classes.get("description", ()) if isinstance(classes, dict) else ()
    names = tuple(map(str, names)) if isinstance(names, list | np.ndarray) else ()
    return names if len(names) == net.classes else ()
