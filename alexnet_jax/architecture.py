"""A network is data: a tuple of layer specs, and the shapes and counts that follow from it.

An `Architecture` is a frozen value that a reader can lay beside Figure 2 of Krizhevsky, Sutskever
and Hinton (2012). Initial values, forward pass, shapes, counts, sharding and the names of
activations all follow from its one tuple of layers. `layer_specs` defines the layer types.
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
    """One layer at its position in the network.

    Shapes are those of one image, [height, width, maps] or [features], all towers together.
    """

    name: str  # as `activations` takes it: conv1, relu1, norm1, pool1, ..., fc8
    spec: LayerSpec
    input_shape: Shape
    output_shape: Shape
    replicated_in: bool  # every tower holds the input of all towers
    replicated_out: bool  # every tower holds the output of all towers
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
        return 2 * self.output_shape[-1] if self.stats_name else 0

    @property
    def stats_name(self) -> str | None:
        """Name of a batch normalization's running statistics in the parameters, or None."""
        return f"{self.name}_running" if isinstance(self.spec, BatchNorm) else None

    @property
    def multiply_accumulates(self) -> int:
        """Number of multiply-accumulates of a weight and an activation, for one image."""
        if self.weight_shape is None or isinstance(self.spec, BatchNorm):
            return 0
        return math.prod(self.weight_shape) * math.prod(self.output_shape[:-1])


@dataclass(frozen=True)
class Architecture:
    """A named network: `layers` in `towers` towers, for square RGB images of one of `image_sizes`.

    Sizes are in pixels; the first is the one that the network was designed for.
    """

    name: str
    image_sizes: tuple[int, ...]
    towers: int
    layers: tuple[LayerSpec, ...]

    @property
    def classes(self) -> int:
        """Number of classes of the output layer."""
        return self.layer_info()[-1].output_shape[0]

    def with_classes(self, classes: int) -> "Architecture":
        """Return the same network with another number of classes."""
        *hidden, output = (info.spec for info in self.layer_info())
        assert isinstance(output, Output)
        output = dataclasses.replace(output, classes=classes)
        return dataclasses.replace(self, layers=(*hidden, output))

    # 64 is more than the networks that one process uses, each with at most two image sizes.
    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value
    def layer_info(self, image_size: int | None = None) -> tuple[LayerInfo, ...]:
        """Return every layer with its name and shapes, for images of `image_size` pixels.

        Raises:
          ValueError: an image size that the network does not take, or a list of layers that makes
            no network; the message names the layer.
        """
        size = self.image_sizes[0] if image_size is None else image_size
        if size not in self.image_sizes:
            sizes = " or ".join(f"{s} x {s}" for s in self.image_sizes)
            raise ValueError(f"{self.name} takes images of {sizes} pixels, not {size} x {size}")
        if not self.layers or not isinstance(self.layers[-1], Output):
            raise ValueError(f"{self.name} must end in an Output layer")
        infos: list[LayerInfo] = []
        shape, replicated, number = (size, size, 3), True, ""
        for spec in self.layers:
            number = _layer_number(spec, number)
            name = getattr(spec, "name", _NAMES.get(type(spec), "") + number)
            if any(name == info.name for info in infos):
                raise ValueError(f"{self.name} has two layers named {name}")
            info = self._info_at(spec, name, shape, replicated)
            infos.append(info)
            shape, replicated = info.output_shape, info.replicated_out
        return tuple(infos)

    def _info_at(self, spec: LayerSpec, name: str, shape: Shape, replicated: bool) -> LayerInfo:
        """Return a layer whose input has this shape. Raises ValueError if it cannot follow."""
        _check_input(spec, shape, name)
        output_shape = _output_shape(spec, shape, name)
        if output_shape[-1] % self.towers and not isinstance(spec, Output):
            raise ValueError(
                f"{self.name}: the {output_shape[-1]} maps of {name} "
                f"cannot be shared by {self.towers} towers"
            )
        maps_in = shape[-1]
        if not replicated and not isinstance(spec, Output):
            maps_in //= self.towers
        weight_shape = _weight_shape(spec, maps_in, shape[-1])
        replicated_out = _replicated_out(spec, replicated)
        return LayerInfo(name, spec, shape, output_shape, replicated, replicated_out, weight_shape)

    def parameter_shapes(self) -> dict[str, tuple[Shape, Shape]]:
        """Return the shapes of weights and biases by layer name.

        Under the name of running statistics, the shapes of means and variances.
        """
        shapes: dict[str, tuple[Shape, Shape]] = {}
        for info in self.layer_info():
            if info.weight_shape:
                shapes[info.name] = (info.weight_shape, info.output_shape[-1:])
            if info.weight_shape and info.stats_name:
                shapes[info.stats_name] = (info.weight_shape, info.weight_shape)
        return shapes


_NAMES = {
    Relu: "relu",
    ResponseNorm: "norm",
    SpatialNorm: "spatial",
    BatchNorm: "norm",
    MaxPool: "pool",
    Gather: "gather",
    Split: "split",
    Flatten: "flatten",
    Dropout: "dropout",
}


def _layer_number(spec: LayerSpec, previous: str) -> str:
    """A layer without parameters takes the number of the last one with: conv1, relu1, norm1."""
    digits = re.search(r"\d+$", getattr(spec, "name", ""))
    return digits.group() if digits else previous


def _replicated_out(spec: LayerSpec, replicated_in: bool) -> bool:
    """Whether every tower holds the output of all towers."""
    if isinstance(spec, Gather | Output):
        return True
    return replicated_in and not isinstance(spec, Conv | Dense | Split)


def _check_input(spec: LayerSpec, shape: Shape, name: str) -> None:
    """Raise ValueError if the layer does not take an input of this shape."""
    needs_maps = isinstance(spec, Conv | MaxPool | ResponseNorm | SpatialNorm)
    if needs_maps and len(shape) != 3:
        raise ValueError(f"{name} needs maps, and comes after Flatten")
    if isinstance(spec, Dense | Output) and len(shape) != 1:
        raise ValueError(f"{name} needs features: a Flatten before it")
    if isinstance(spec, Conv | MaxPool) and spec.stride < 1:
        raise ValueError(f"{name} has a stride of {spec.stride}")


def _output_shape(spec: LayerSpec, shape: Shape, name: str) -> Shape:
    """Return the output shape of a layer from its input shape."""
    match spec:
        case Conv(maps=maps, kernel=size, stride=stride, padding=padding):
            return (*(_output_size(n + sum(padding), size, stride, name) for n in shape[:2]), maps)
        case MaxPool(size, stride, padding):
            sides = (_output_size(n + sum(padding), size, stride, name) for n in shape[:2])
            return (*sides, shape[2])
        case Dense(features=features):
            return (features,)
        case Output(classes=classes):
            return (classes,)
        case Flatten():
            return (math.prod(shape),)
        case _:
            return shape


def _weight_shape(spec: LayerSpec, inputs: int, all_maps: int) -> Shape | None:
    """Return the shape of the weights of a layer whose kernels see `inputs` maps of `all_maps`."""
    match spec:
        case Conv(kernel=size, maps=maps):
            return (size, size, inputs, maps)
        case Dense(features=outputs) | Output(classes=outputs):
            return (inputs, outputs)
        case BatchNorm():
            return (all_maps,)
        case _:
            return None


def _output_size(pixels: int, window: int, stride: int, name: str) -> int:
    if pixels < window:
        raise ValueError(f"{name} needs at least {window} pixels, and only {pixels} are left")
    return (pixels - window) // stride + 1
