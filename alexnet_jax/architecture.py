"""A network is data: a tuple of layer specs, and the shapes and counts that follow from it.

An `Architecture` is a frozen value that a reader can lay beside Figure 2 of Krizhevsky, Sutskever
and Hinton (2012). Initial values, forward pass, shapes, counts, sharding and the names of
activations all follow from its one tuple of layers. `layer_specs` defines the layer types.
"""

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax

from alexnet_jax.layer_fields import SAME, same_zeros, side, whole_number
from alexnet_jax.layer_info import LayerInfo as LayerInfo
from alexnet_jax.layer_info import follow, is_replicated_after, name_layers
from alexnet_jax.layer_specs import Output
from alexnet_jax.layer_type import LayerSpec, check_layer
from alexnet_jax.layer_type import Shape as Shape
from alexnet_jax.layer_windows import Kernels, Pool

ImageSize = int | tuple[int, int]
"""Pixels of an image: the side of a square, or (height, width)."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Architecture:
    """A named network: `layers` in `towers` towers, for square RGB images of one of `image_sizes`.

    Sizes are in pixels; the first is the one that the network was designed for. Layers before
    `Flatten` take images of any size. To JAX an architecture is a pytree without arrays, so that
    it may be an argument of a function under `jit`, which compiles for each one.

    `layers` may be a list, and `image_sizes` one number. A padding "SAME" becomes the zeros for
    `image_sizes`, which stay those for other sizes.

    Raises:
      ValueError: layers that make no network; the message names the layer.
    """

    name: str
    image_sizes: tuple[int, ...]
    towers: int
    layers: tuple[LayerSpec, ...]

    def __post_init__(self) -> None:
        """Take a list of layers and one image size, too, and check that they make a network."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"the name of an Architecture must be text, not {self.name!r}")
        self._set("image_sizes", self._check_sizes())
        self._set("towers", whole_number(self.towers, f"{self.name}'s towers"))
        self._set("layers", self._check_layers())
        self._set("layers", self._resolve_padding())
        first, *others = [self._param_shapes(size) for size in self.image_sizes]
        for size, shapes in zip(self.image_sizes[1:], others, strict=True):
            for name, shape in shapes.items():
                if shape != first[name]:
                    raise ValueError(
                        f"{self.name}: {name} has weights and biases of {first[name]} for images "
                        f"of {self.image_sizes[0]} pixels square, and of {shape} for {size}; "
                        "image sizes must agree in them"
                    )

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _check_sizes(self) -> tuple[int, ...]:
        sizes: Any = self.image_sizes
        label = f"{self.name}'s image size"
        if not isinstance(sizes, tuple | list):
            return (whole_number(sizes, label),)
        if not sizes:
            raise ValueError(f"{self.name} needs an image size")
        return tuple(dict.fromkeys(side(size, label) for size in sizes))

    def _check_layers(self) -> tuple[LayerSpec, ...]:
        layers: Any = self.layers
        if isinstance(layers, str | dict) or not isinstance(layers, Iterable):
            raise ValueError(f"{self.name}'s layers must be a list, not {layers!r}")
        layers = tuple(layers)
        for number, layer in enumerate(layers, 1):
            check_layer(layer, f"layer {number} of {self.name}")
        if not layers or not isinstance(layers[-1], Output):
            raise ValueError(f"{self.name} must end in an Output layer")
        return layers

    def _resolve_padding(self) -> tuple[LayerSpec, ...]:
        """Return the layers with zeros for the padding "SAME", the same at all image sizes."""
        layers = list(self.layers)
        if not any(getattr(spec, "padding", None) == SAME for spec in layers):
            return self.layers
        by_size = [self._walk((size, size, 3), 0, len(layers)) for size in self.image_sizes]
        for i, spec in enumerate(self.layers):
            if not isinstance(spec, Kernels | Pool) or spec.padding != SAME:
                continue
            window = spec.kernel if isinstance(spec, Kernels) else spec.size
            zeros = {
                same_zeros(infos[i].input_shape[0], window, spec.stride): size
                for infos, size in zip(by_size, self.image_sizes, strict=True)
            }
            if len(zeros) > 1:
                listed = " and ".join(f"{z} at {size} pixels" for z, size in zeros.items())
                raise ValueError(
                    f'{self.name}: the padding "SAME" of {by_size[0][i].name} is {listed}; '
                    "write one of them"
                )
            [padding] = zeros
            layers[i] = dataclasses.replace(spec, padding=padding)
        return tuple(layers)

    def _param_shapes(self, size: int) -> dict[str, tuple[Shape | None, Shape | None]]:
        infos = self.layer_info(size)
        return {info.name: (info.weight_shape, info.bias_shape) for info in infos}

    @property
    def classes(self) -> int:
        """Number of classes of the output layer."""
        output = self.layers[-1]
        assert isinstance(output, Output)
        return output.classes

    @property
    def parameters(self) -> int:
        """Number of parameters, running statistics included."""
        return sum(info.parameters for info in self.layer_info())

    def with_classes(self, classes: int) -> "Architecture":
        """Return the same network with another number of classes."""
        *hidden, output = self.layers
        assert isinstance(output, Output)
        output = dataclasses.replace(output, classes=classes)
        return dataclasses.replace(self, layers=(*hidden, output))

    def layer_info(
        self, image_size: ImageSize | None = None, *, last: str | None = None
    ) -> tuple[LayerInfo, ...]:
        """Return every layer, or those up to `last`, with its name and shapes.

        Args:
          image_size: in pixels, of a square or (height, width); the first of `image_sizes` if None.
            Any size will do for layers before `Flatten`; the others need one of `image_sizes`.
          last: name of the last layer to return; if None, the output layer.

        Raises:
          ValueError: an image size that the network does not take, or a name that it does not have.
        """
        size = self.image_sizes[0] if image_size is None else image_size
        sides = (*size,) if isinstance(size, tuple | list) else (size, size)
        if len(sides) != 2:
            raise ValueError(f"image_size must be a number or (height, width), not {size!r}")
        height, width = (whole_number(side, "image_size") for side in sides)
        return self._layer_info(height, width, last)

    # 64 is more than the networks, image sizes and last layers that one process uses in turn.
    @functools.lru_cache(maxsize=64)  # noqa: B019 - a frozen value
    def _layer_info(self, height: int, width: int, last: str | None) -> tuple[LayerInfo, ...]:
        names = self.layer_names()
        layers = self.layers[: len(names) if last is None else self._index(last) + 1]
        if (height != width or height not in self.image_sizes) and any(
            spec.fixes_size for spec in layers
        ):
            sizes = " or ".join(f"{s} x {s}" for s in self.image_sizes)
            fixed = next(i for i, spec in enumerate(layers) if spec.fixes_size)
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
        is_free = not any(spec.fixes_size for spec in self.layers[:end])
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
        """Return the name of every layer, as `activations` takes it."""
        return self._checked(name_layers, self.layers)

    def _checked(self, function: Any, *arguments: Any) -> Any:
        """Call a function of `layer_info`, and let the name of the network precede its errors."""
        try:
            return function(*arguments)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

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
                infos.append(self._checked(follow, spec, name, shape, replicated, self.towers))
                shape = infos[-1].output_shape
            replicated = is_replicated_after(spec, replicated)
        return tuple(infos)

    def parameter_shapes(self) -> dict[str, tuple[Shape, Shape]]:
        """Return the shapes of weights and biases by layer name.

        Under the name of running statistics, the shapes of means and variances.
        """
        shapes: dict[str, tuple[Shape, Shape]] = {}
        for info in self.layer_info():
            if info.weight_shape and info.bias_shape:
                shapes[info.name] = (info.weight_shape, info.bias_shape)
                if info.stats_name:
                    shapes[info.stats_name] = (info.weight_shape, info.weight_shape)
        return shapes


def _batch_shape(shape: Shape) -> str:
    return f"[{', '.join(map(str, ('n', *shape)))}]"
