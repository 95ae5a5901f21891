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

import jax

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
ImageSize = int | tuple[int, int]
"""Pixels of an image: the side of a square, or (height, width)."""


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


@jax.tree_util.register_static
@dataclass(frozen=True)
class Architecture:
    """A named network: `layers` in `towers` towers, for square RGB images of one of `image_sizes`.

    Sizes are in pixels; the first is the one that the network was designed for. Layers before
    `Flatten` take images of any size. To JAX an architecture is a pytree without arrays, so that
    it may be an argument of a function under `jit`, which compiles for each one.
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

    # 64 is more than the networks, image sizes and last layers that one process uses in turn.
    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value
    def layer_info(
        self, image_size: ImageSize | None = None, *, last: str | None = None
    ) -> tuple[LayerInfo, ...]:
        """Return every layer, or those up to `last`, with its name and shapes.

        Args:
          image_size: in pixels, of a square or (height, width); the first of `image_sizes` if None.
            Any size will do for layers before `Flatten`; the others need one of `image_sizes`.
          last: name of the last layer to return; if None, the output layer.

        Raises:
          ValueError: an image size that the network does not take, a name that it does not have, or
            a list of layers that makes no network; the message names the layer.
        """
        size = self.image_sizes[0] if image_size is None else image_size
        height, width = size if isinstance(size, tuple) else (size, size)
        names = self.layer_names()
        layers = self.layers[: len(names) if last is None else self._index(last) + 1]
        if (height != width or height not in self.image_sizes) and any(
            _fixes_image_size(spec) for spec in layers
        ):
            sizes = " or ".join(f"{s} x {s}" for s in self.image_sizes)
            fixed = next(i for i, spec in enumerate(layers) if _fixes_image_size(spec))
            raise ValueError(
                f"{self.name} takes images of {sizes} pixels, not {height} x {width}; "
                f"only its layers before {names[fixed]} take any size"
            )
        return self._walk((height, width, 3), 0, len(layers))

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value
    def layer_info_after(
        self, name: str, shape: Shape, *, last: str | None = None
    ) -> tuple[LayerInfo, ...]:
        """Return the layers that follow one, up to `last`, for an output of that one.

        Args:
          name: of the layer before the first to return.
          shape: the output of that layer for one image, [height, width, maps] or [features].
          last: name of the last layer to return; if None, the output layer.

        Raises:
          ValueError: a shape that the layer does not have, for any image that reaches `last`, or a
            name that the network does not have.
        """
        start = self._index(name) + 1
        end = len(self.layers) if last is None else self._index(last) + 1
        shapes = [self.layer_info(size, last=name)[-1].output_shape for size in self.image_sizes]
        is_free = not any(_fixes_image_size(spec) for spec in self.layers[:end])
        fits = shape in shapes
        if is_free:
            fits = len(shape) == len(shapes[0]) and shape[-1] == shapes[0][-1]
        if not fits:
            sides = "height, width, " if len(shapes[0]) == 3 else ""
            shapes = [f"[n, {sides}{shapes[0][-1]}]"] if is_free else map(_batch_shape, shapes)
            allowed = " or ".join(dict.fromkeys(shapes))
            raise ValueError(
                f"the output of {name} in {self.name} is {allowed}, not {_batch_shape(shape)}"
            )
        return self._walk(shape, start, end)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value
    def layer_names(self) -> tuple[str, ...]:
        """Return the name of every layer, as `activations` takes it.

        Raises:
          ValueError: a list of layers in which two have the same name, or without `Output` at the
            end.
        """
        if not self.layers or not isinstance(self.layers[-1], Output):
            raise ValueError(f"{self.name} must end in an Output layer")
        names: list[str] = []
        number = ""
        for spec in self.layers:
            number = _layer_number(spec, number)
            name = getattr(spec, "name", _NAMES.get(type(spec), "") + number)
            if name in names:
                raise ValueError(f"{self.name} has two layers named {name}")
            names.append(name)
        return tuple(names)

    def _index(self, name: str) -> int:
        """Return the position of a layer. Raises ValueError if the network does not have it."""
        names = self.layer_names()
        if name not in names:
            raise ValueError(f"{self.name} has no layer {name!r}, but {', '.join(names)}")
        return names.index(name)

    def _walk(self, shape: Shape, start: int, end: int) -> tuple[LayerInfo, ...]:
        """Return the layers from `start` to before `end`; the first has an input of this shape."""
        infos: list[LayerInfo] = []
        replicated = True
        for i, name in enumerate(self.layer_names()[:end]):
            spec = self.layers[i]
            if i >= start:
                infos.append(self._info_at(spec, name, shape, replicated))
                shape = infos[-1].output_shape
            replicated = _replicated_out(spec, replicated)
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


def _fixes_image_size(spec: LayerSpec) -> bool:
    """Whether the weights of this layer or of those after it fit one number of pixels only."""
    return isinstance(spec, Flatten)


def _batch_shape(shape: Shape) -> str:
    return f"[{', '.join(map(str, ('n', *shape)))}]"


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
