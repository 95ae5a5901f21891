"""What a file of weights holds, and how the arrays of other programs become our parameters."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture, LayerInfo, Shape
from alexnet_jax.layer_specs import Conv, Flatten
from alexnet_jax.params import Layer, Params
from alexnet_jax.preprocessing import Preprocessing

Arrays = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Weights and biases of another program, by our names of layers."""


class LoadedWeights(NamedTuple):
    """All that a file of weights holds."""

    kind: str  # whose format it is
    params: Params
    architecture: Architecture
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()  # by index; none where the file does not say


def params_of(
    architecture: Architecture, arrays: Arrays, *, outputs_first: bool, bgr: bool = False
) -> Params:
    """Return another program's arrays as our parameters, in float32.

    Args:
      architecture: the net that they must fit.
      arrays: of all its layers.
      outputs_first: convolutions are [maps_out, maps_in, height, width], dense layers
        [features_out, features_in], and the features that the first of these reads run over maps,
        then rows and columns: Caffe, PyTorch, ONNX. Otherwise all is as ours.
      bgr: the first convolution sees blue, green, red; it is turned to RGB.

    Raises:
      ValueError: a layer that is missing, or of another shape.
    """
    params: Params = {}
    maps: Shape = ()  # of one tower, that were flattened, until a layer has read them
    for info in architecture.layer_info():
        if isinstance(info.spec, Flatten):
            *sides, seen = info.input_shape
            maps = (seen if info.replicated_in else seen // architecture.towers, *sides)
        if not info.weight_shape:
            continue
        if info.name not in arrays:
            raise ValueError(f"{info.name} is missing")
        weights, biases = arrays[info.name]
        _check(architecture, info, weights, biases, outputs_first)
        if outputs_first and maps:
            weights = weights.reshape(-1, *maps)
        if outputs_first:
            weights = weights.transpose(2, 3, 1, 0) if weights.ndim == 4 else weights.T
        if bgr and not params:
            weights = weights[:, :, ::-1]
        # Copies, for the file may change when it has been read.
        weights, biases = (np.array(leaf, "f4", order="C") for leaf in (weights, biases))
        params[info.name] = Layer(
            jnp.asarray(weights.reshape(info.weight_shape)), jnp.asarray(biases)
        )
        maps = ()
    return params


def _check(
    net: Architecture, info: LayerInfo, weights: np.ndarray, biases: np.ndarray, outputs_first: bool
) -> None:
    wanted = list(info.weight_shape or ())
    if outputs_first and isinstance(info.spec, Conv):
        height, width, inputs, outputs = wanted
        wanted = [outputs, inputs, height, width]
    elif outputs_first:
        wanted.reverse()
    have, want = (list(weights.shape), list(biases.shape)), (wanted, [info.output_shape[-1]])
    if have != want:
        raise ValueError(
            f"{info.name} has weights of {have[0]} and biases of {have[1]}, "
            f"but {net.name} needs {want[0]} and {want[1]}"
        )
    for array in (weights, biases):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{info.name} has numbers of type {array.dtype}")


def with_classes(net: Architecture, arrays: Arrays) -> Architecture:
    """Return the net with as many classes as there are biases of its last layer."""
    [*_, output] = net.layer_info()
    count = arrays[output.name][1].size if output.name in arrays else 0
    return net.with_classes(count) if count else net


def fitted(preprocessing: Preprocessing, net: Architecture) -> Preprocessing:
    """Return the preprocessing for a net that may read another size than the published one.

    How its images were cut out of larger ones is not known; they are brought to its own size.
    """
    if preprocessing.input_size in net.image_sizes:
        return preprocessing
    size, mean = net.image_sizes[0], preprocessing.mean
    mean = mean if mean.ndim == 1 else mean.mean((0, 1))
    return dataclasses.replace(preprocessing, stored_size=size, input_size=size, mean=mean)
