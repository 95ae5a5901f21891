"""Layer types as a user writes them: with parameters and without, right and wrong."""

from dataclasses import dataclass

import jax.numpy as jnp

from alexnet_jax.layer_specs import LayerSpec


@dataclass(frozen=True)
class PRelu(LayerSpec):
    """max(0, x) + w min(0, x) + b, with numbers w and b for each map."""

    slope: float = 0.25

    per_map = True

    def param_shapes(self, shape):
        return shape[-1:], shape[-1:]

    def init(self, key, weights, biases):
        return jnp.full(weights, self.slope, "float32"), jnp.zeros(biases, "float32")

    def apply(self, params, x):
        weights, biases = (p.reshape(*[1] * (x.ndim - 1), -1) for p in params)
        return jnp.where(x > 0, x, weights * x) + biases


@dataclass(frozen=True)
class Mix(LayerSpec):
    """A 1 x 1 convolution that needs the maps of all towers."""

    name: str
    maps: int
    std: float = 0.3
    bias: float = 0.1

    takes = "maps"
    needs_all_maps = True

    def output_shape(self, shape):
        return (*shape[:2], self.maps)

    def param_shapes(self, shape):
        return (shape[-1], self.maps), (self.maps,)

    def apply(self, params, x):
        return x @ params.weights + params.biases.reshape(1, 1, 1, -1)


@dataclass(frozen=True)
class GlobalMean(LayerSpec):
    """The mean of each map, for images of any size."""

    takes = "maps"

    def output_shape(self, shape):
        return shape[-1:]

    def apply(self, params, x):
        return x.mean(axis=(1, 2))


@dataclass(frozen=True)
class Wrong(LayerSpec):
    """Says what its fields say, and keeps its input."""

    output: object = None
    params: object = None

    def output_shape(self, shape):
        if self.output == "odd":
            raise ValueError("needs an even number of rows")
        return shape if self.output is None else self.output

    def apply(self, params, x):
        return x


@dataclass(frozen=True)
class WrongParams(Wrong):
    """Has parameters, too."""

    def param_shapes(self, shape):
        return self.params


class Undecorated(LayerSpec):
    """Has a field that its dataclass does not know."""

    width: int = 3

    def apply(self, params, x):
        return x


@dataclass(frozen=True)
class Misspelled(Wrong):
    """Takes what there is not."""

    takes = "pixels"


@dataclass(frozen=True)
class Shapeless(LayerSpec):
    """Computes nothing."""
