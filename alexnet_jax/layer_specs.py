"""Layer types: one frozen dataclass per kind of layer.

`ops` computes them, and `architecture` derives the shapes of a network from theirs. Widths (`maps`,
`features`) count all towers together, as the paper's text does. `LayerSpec` is the type of all:
inherit it to make one of your own.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from alexnet_jax.layer_fields import Count, Deviation, Name, Number, Odd, Positive, Share, Switch
from alexnet_jax.layer_type import LayerSpec, Shape
from alexnet_jax.layer_windows import Conv, LocallyConnected, MaxPool, MeanPool

__all__ = [
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "Gather",
    "LayerSpec",
    "LocallyConnected",
    "MaxPool",
    "MeanPool",
    "Output",
    "Relu",
    "ResponseNorm",
    "SpatialNorm",
    "Split",
    "Tanh",
]


@dataclass(frozen=True)
class Dense(LayerSpec):
    """A fully-connected layer (§3.5): sees its own tower, or all features after `Gather`."""

    name: Name
    features: Count
    std: Deviation = 0.01
    bias: Number = 0.0

    takes = "features"

    def output_shape(self, shape: Shape) -> Shape:
        """Return [features]."""
        return (self.features,)

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return [features_in, features] and [features]."""
        return (shape[-1], self.features), (self.features,)


@dataclass(frozen=True)
class Output(LayerSpec):
    """The logits of the classes: products with each tower's features, summed, plus biases.

    This equals a dense layer on the features of all towers, the original program's fc1000.
    """

    name: Name
    classes: Count
    std: Deviation = 0.01
    bias: Number = 0.0

    takes = "features"

    def output_shape(self, shape: Shape) -> Shape:
        """Return [classes]."""
        return (self.classes,)

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return [features_in, classes] and [classes]; `shape` is that of all towers together."""
        return (shape[-1], self.classes), (self.classes,)


@dataclass(frozen=True)
class Relu(LayerSpec):
    """f(x) = max(0, x) (§3.1)."""


@dataclass(frozen=True)
class Tanh(LayerSpec):
    """f(x) = tanh(x), which the paper compares with ReLU (§3.1, Figure 1)."""


@dataclass(frozen=True)
class ResponseNorm(LayerSpec):
    """Local response normalization over `n` neighboring maps (§3.3).

    The maps are those of one tower, or of all towers after a `Gather`.
    `divide_alpha_by_n` selects the meaning of `alpha`: False is the formula printed in the paper,
    TensorFlow's and Theano-AlexNet's; True is that of the original 2012 program, Caffe, PyTorch
    and ONNX, which divide by n.
    """

    n: Odd = 5
    k: Positive = 2.0
    alpha: Number = 1e-4
    beta: Number = 0.75
    divide_alpha_by_n: Switch = False

    label = "norm"
    takes = "maps"


@dataclass(frozen=True)
class SpatialNorm(LayerSpec):
    """Normalization of each map by its own `size` x `size` neighborhood.

    Not in the paper: the original program has it after the second response normalization (its
    layers cnorm2a and cnorm2b). As there, `alpha` is divided by the number of pixels.
    """

    size: Odd = 5
    k: Positive = 1.0
    alpha: Number = 1e-3
    beta: Number = 0.75

    label = "spatial"
    takes = "maps"


@dataclass(frozen=True)
class BatchNorm(LayerSpec):
    """Batch normalization of each map over images and pixels (Ioffe and Szegedy 2015).

    Not in the paper: notebooks use it in place of response normalization. Training normalizes by
    the statistics of the batch, evaluation by running ones, which keep `momentum` of their value in
    every step. The defaults are those of Keras.
    """

    momentum: Share = 0.99
    epsilon: Positive = 1e-3

    label = "norm"
    per_map = True

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return [maps] twice: scales and offsets."""
        return shape[-1:], shape[-1:]

    def weight_uses(self, output_shape: Shape) -> int:
        """Return 0: a norm's few products are not counted."""
        return 0

    def init(self, key: jax.Array, weights: Shape, biases: Shape) -> tuple[jax.Array, jax.Array]:
        """Return scales of 1 and offsets of 0."""
        return jnp.ones(weights, jnp.float32), jnp.zeros(biases, jnp.float32)


@dataclass(frozen=True)
class Gather(LayerSpec):
    """Where the towers meet (§3.2): each continues with the maps or features of all towers."""


@dataclass(frozen=True)
class Split(LayerSpec):
    """Where the towers separate after a `Gather`: each continues with its own maps.

    Layers between `Gather` and `Split` see the maps of all towers, as Caffe's normalization does.
    """


@dataclass(frozen=True)
class Flatten(LayerSpec):
    """Reshape maps [height, width, maps] to features, in this order."""

    fixes_size = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return [features]."""
        return (math.prod(shape),)


@dataclass(frozen=True)
class Dropout(LayerSpec):
    """Zero half of the activations in training; halve all of them in evaluation (§4.2).

    `inverted` instead doubles the activations that training keeps, and leaves evaluation unchanged,
    as later libraries do. The mean is the same up to a factor of two.
    """

    inverted: Switch = False

    def __post_init__(self) -> None:
        """Refuse a rate, which other libraries' dropout takes."""
        if isinstance(self.inverted, float):
            raise ValueError(
                "Dropout drops half and takes no rate: write Dropout(), or Dropout(inverted=True) "
                f"for that of later libraries, not Dropout({self.inverted})"
            )
        super().__post_init__()
