"""A net is data: the words that its layers are made of, and what follows from a list of them.

An `Architecture` is a frozen value that a reader can lay beside Figure 2 of Krizhevsky, Sutskever
and Hinton (2012). Initial values, forward pass, shapes, counts, sharding and the names under which
activities can be captured all follow from its one tuple of layers. The words stand in `words`.
"""

import dataclasses
import functools
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
)

Shape = tuple[int, ...]


class LayerInfo(NamedTuple):
    """One layer at its position in the network."""

    name: str  # under which `activations` captures it: conv1, relu1, norm1, pool1, ..., fc8
    spec: LayerSpec
    input_shape: Shape  # of one image: [height, width, maps] or [features], all towers together
    output_shape: Shape
    replicated_in: bool  # the input is replicated on every tower
    replicated_out: bool  # and so is the output
    weight_shape: Shape | None  # None for a layer without parameters; biases are [output_shape[-1]]

    @property
    def parameters(self) -> int:
        """Number of weights and biases, running statistics included."""
        if self.weight_shape is None:
            return 0
        return math.prod(self.weight_shape) + self.output_shape[-1] + self.statistics

    @property
    def statistics(self) -> int:
        """Number of running means and variances, which no gradient changes."""
        return 2 * self.output_shape[-1] if self.running else 0

    @property
    def running(self) -> str | None:
        """Name of a batch normalization's running statistics in the parameters, or None."""
        return f"{self.name}_running" if isinstance(self.spec, BatchNorm) else None

    @property
    def multiply_accumulates(self) -> int:
        """Number of multiply-accumulates of a weight and an activity, for one image."""
        if self.weight_shape is None or isinstance(self.spec, BatchNorm):
            return 0
        return math.prod(self.weight_shape) * math.prod(self.output_shape[:-1])


@dataclass(frozen=True)
class Architecture:
    """A named net: `layers` of `towers` towers, reading square RGB images of one of `image_sizes`.

    Sizes are in pixels; the first is the one that the net was made for.
    """

    name: str
    image_sizes: tuple[int, ...]
    towers: int
    layers: tuple[LayerSpec, ...]

    @property
    def classes(self) -> int:
        """The number of classes that the output layer scores."""
        return self.layer_info()[-1].output_shape[0]

    def with_classes(self, classes: int) -> "Architecture":
        """Return the same net with another number of classes."""
        *hidden, output = (info.spec for info in self.layer_info())
        assert isinstance(output, Output)
        output = dataclasses.replace(output, classes=classes)
        return dataclasses.replace(self, layers=(*hidden, output))

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value; nets are few
    def layer_info(self, image_size: int | None = None) -> tuple[LayerInfo, ...]:
        """Return every layer with its name and shapes, for images of `image_size` pixels.

        Raises ValueError, with the layer's name, where the list makes no net.
        """
        size = self.image_sizes[0] if image_size is None else image_size
        if size not in self.image_sizes:
            sizes = " or ".join(f"{s} x {s}" for s in self.image_sizes)
            raise ValueError(f"{self.name} takes images of {sizes} pixels, not {size} x {size}")
        infos: list[LayerInfo] = []
        if not self.layers or not isinstance(self.layers[-1], Output):
            raise ValueError(f"{self.name} must end in an Output layer")
        shape, whole, number = (size, size, 3), True, ""
        for layer in self.layers:
            number = _number(layer, number)
            name = getattr(layer, "name", _WORDS.get(type(layer), "") + number)
            if any(name == info.name for info in infos):
                raise ValueError(f"{self.name} has two layers named {name}")
            _check_place(layer, shape, name)
            outputs = _outputs(layer, shape, name)
            if outputs[-1] % self.towers and not isinstance(layer, Output):
                raise ValueError(
                    f"{self.name}: the {outputs[-1]} maps of {name} "
                    f"cannot be shared by {self.towers} towers"
                )
            replicated_in, whole = whole, _whole_out(layer, whole)
            seen = (
                shape[-1]
                if replicated_in or isinstance(layer, Output)
                else shape[-1] // self.towers
            )
            weights = _weights(layer, seen, shape[-1])
            infos.append(LayerInfo(name, layer, shape, outputs, replicated_in, whole, weights))
            shape = outputs
        return tuple(infos)

    def parameter_shapes(self) -> dict[str, tuple[Shape, Shape]]:
        """Return the shapes of the two arrays of every layer with parameters, by its name.

        They are those of weights and biases, or of running means and variances.
        """
        shapes: dict[str, tuple[Shape, Shape]] = {}
        for info in self.layer_info():
            if info.weight_shape:
                shapes[info.name] = (info.weight_shape, info.output_shape[-1:])
            if info.weight_shape and info.running:
                shapes[info.running] = (info.weight_shape, info.weight_shape)
        return shapes


_WORDS = {
    Relu: "relu",
    ResponseNorm: "norm",
    SpatialNorm: "spatial",
    BatchNorm: "norm",
    MaxPool: "pool",
    Gather: "gather",
    Split: "part",
    Flatten: "flatten",
    Dropout: "dropout",
}


def _number(layer: LayerSpec, number: str) -> str:
    """A layer without parameters takes the number of the last one with: conv1, relu1, norm1."""
    digits = re.search(r"\d+$", getattr(layer, "name", ""))
    return digits.group() if digits else number


def _whole_out(layer: LayerSpec, replicated_in: bool) -> bool:
    """Whether every tower has all that goes out, where it has or has not all that comes in."""
    if isinstance(layer, Gather | Output):
        return True
    return replicated_in and not isinstance(layer, Conv | Dense | Split)


def _check_place(layer: LayerSpec, inputs: Shape, name: str) -> None:
    """Raise ValueError if the layer cannot follow on what comes in."""
    needs_maps = isinstance(layer, Conv | MaxPool | ResponseNorm | SpatialNorm)
    if needs_maps and len(inputs) != 3:
        raise ValueError(f"{name} needs maps, and stands behind Flatten")
    if isinstance(layer, Dense | Output) and len(inputs) != 1:
        raise ValueError(f"{name} needs features: a Flatten before it")
    if isinstance(layer, Conv | MaxPool) and layer.stride < 1:
        raise ValueError(f"{name} has a stride of {layer.stride}")


def _outputs(layer: LayerSpec, inputs: Shape, name: str) -> Shape:
    """The shape that `layer` makes of `inputs`."""
    match layer:
        case Conv(maps=maps, kernel=size, stride=stride, padding=padding):
            return (*(_positions(n + sum(padding), size, stride, name) for n in inputs[:2]), maps)
        case MaxPool(size, stride, padding):
            sides = (_positions(n + sum(padding), size, stride, name) for n in inputs[:2])
            return (*sides, inputs[2])
        case Dense(features=features):
            return (features,)
        case Output(classes=classes):
            return (classes,)
        case Flatten():
            return (math.prod(inputs),)
        case _:
            return inputs


def _weights(layer: LayerSpec, seen: int, maps: int) -> Shape | None:
    """The shape of the weights of a layer whose kernels see `seen` of the `maps` that come in."""
    match layer:
        case Conv(kernel=size, maps=maps):
            return (size, size, seen, maps)
        case Dense(features=outputs) | Output(classes=outputs):
            return (seen, outputs)
        case BatchNorm():
            return (maps,)
        case _:
            return None


def _positions(pixels: int, size: int, stride: int, name: str) -> int:
    if pixels < size:
        raise ValueError(f"{name} needs at least {size} pixels, and only {pixels} are left")
    return (pixels - size) // stride + 1
