"""What a file of weights holds, and how another program's arrays become our parameters."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture, LayerInfo, Shape
from alexnet_jax.layer_specs import Conv, Flatten
from alexnet_jax.params import Layer, Params
from alexnet_jax.preprocessing import Preprocessing

LayerArrays = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Another program's weights and biases, by our layer names."""


class LoadedWeights(NamedTuple):
    """What a file of weights holds."""

    kind: str  # the program whose format it is: "Caffe's"
    params: Params
    architecture: Architecture
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()  # by index; empty if the file has none


def check_class_names(net: Architecture, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the classes, by index, or none.

    Raises ValueError for names that are no text, and for another number of them than of classes.
    """
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"class names must be text, not {name!r}")
    if len(names) not in (0, net.classes):
        raise ValueError(f"there are {len(names)} class names for {net.classes} classes")
    return names


def check_expected(net: Architecture, expected: Architecture | None) -> None:
    """Raise ValueError unless a file's network is the one that it must be, if that is not None."""
    if expected is None or net == expected:
        return
    if net == expected.with_classes(net.classes):
        raise ValueError(f"it holds {net.name} of {net.classes} classes, not {expected.classes}")
    if net.name == expected.name:
        raise ValueError(f"it holds {net.name} of other layers")
    raise ValueError(f"it holds {net.name}, which differs from {expected.name}")


def convert_params(
    architecture: Architecture, arrays: LayerArrays, *, outputs_first: bool, bgr: bool = False
) -> Params:
    """Return another program's arrays as our parameters, in float32.

    Args:
      architecture: the network that they must fit.
      arrays: of all its layers.
      outputs_first: whether kernels are [maps_out, maps_in, height, width] and dense weights
        [features_out, features_in], whose first ones run over maps, then rows and columns, as in
        Caffe, PyTorch and ONNX. Otherwise all axes are as ours.
      bgr: whether the first convolution sees blue, green, red; it is turned to RGB.

    Raises:
      ValueError: a layer that is missing, or of another shape.
    """
    params: Params = {}
    maps: Shape = ()  # [maps, height, width] of one tower, between Flatten and the next layer
    for info in architecture.layer_info():
        if isinstance(info.spec, Flatten):
            *sides, count = info.input_shape
            maps = (count if info.replicated_in else count // architecture.towers, *sides)
        if not info.weight_shape:
            continue
        if info.name not in arrays:
            raise ValueError(f"{info.name} is missing")
        weights, biases = arrays[info.name]
        _check_shapes(architecture, info, weights, biases, outputs_first)
        if outputs_first and maps:
            weights = weights.reshape(-1, *maps)
        if outputs_first:
            weights = weights.transpose(2, 3, 1, 0) if weights.ndim == 4 else weights.T
        if bgr and not params:
            weights = weights[:, :, ::-1]
        # A copy: the arrays may be a map of the file, which can change after it was read.
        weights, biases = (np.array(leaf, "f4", order="C") for leaf in (weights, biases))
        params[info.name] = Layer(
            jnp.asarray(weights.reshape(info.weight_shape)), jnp.asarray(biases)
        )
        maps = ()
    return params


def _check_shapes(
    net: Architecture, info: LayerInfo, weights: np.ndarray, biases: np.ndarray, outputs_first: bool
) -> None:
    expected = list(info.weight_shape or ())
    if outputs_first and isinstance(info.spec, Conv):
        height, width, inputs, outputs = expected
        expected = [outputs, inputs, height, width]
    elif outputs_first:
        expected.reverse()
    have, want = (list(weights.shape), list(biases.shape)), (expected, [info.output_shape[-1]])
    if have != want:
        raise ValueError(
            f"{info.name} has weights of {have[0]} and biases of {have[1]}, "
            f"but {net.name} needs {want[0]} and {want[1]}"
        )
    for array in (weights, biases):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{info.name} has numbers of type {array.dtype}")


def with_class_count(net: Architecture, arrays: LayerArrays) -> Architecture:
    """Return the network with as many classes as its last layer has biases."""
    output = net.layer_info()[-1]
    count = arrays[output.name][1].size if output.name in arrays else 0
    return net.with_classes(count) if count else net


def fit_preprocessing(preprocessing: Preprocessing, net: Architecture) -> Preprocessing:
    """Return the preprocessing for a network that may read another size than the published one.

    How its crops were cut out of larger images is not known, so images are resized to its own size.
    """
    if preprocessing.input_size in net.image_sizes:
        return preprocessing
    size, mean = net.image_sizes[0], preprocessing.mean
    mean = mean if mean.ndim == 1 else mean.mean((0, 1))
    return dataclasses.replace(preprocessing, stored_size=size, input_size=size, mean=mean)
