"""Layer types that move a square window over the maps; `layer_specs` lists them with the others."""

from dataclasses import dataclass

from alexnet_jax.layer_fields import (
    SAME,
    Count,
    Deviation,
    Name,
    Number,
    Side,
    Zeros,
    count_windows,
)
from alexnet_jax.layer_type import LayerSpec, Shape


@dataclass(frozen=True)
class Kernels(LayerSpec):
    """Kernels of `kernel` x `kernel` pixels, moved over the maps `stride` pixels at a time."""

    name: Name
    maps: Count
    kernel: Side
    stride: Side = 1
    padding: Zeros = (0, 0)
    std: Deviation = 0.01
    bias: Number = 0.0

    takes = "maps"

    def output_shape(self, shape: Shape) -> Shape:
        """Return [height, width, maps]."""
        return (*count_windows(shape[:2], self.kernel, self.stride, self.padding), self.maps)


@dataclass(frozen=True)
class Conv(Kernels):
    """A convolution with biases (§3.5). Its kernels see the maps of their own tower only.

    On the image, or after a `Gather`, they see all maps. `padding` is the number of zeros
    (before, after) the first and last row and column. One number stands for both; "SAME" and
    "VALID" are TensorFlow's, and an `Architecture` replaces "SAME" by the zeros for its image size.
    Kernels start from N(0, `std`^2) and every bias from `bias` (§5).
    """

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return [kernel, kernel, maps_in, maps] and [maps]."""
        return (self.kernel, self.kernel, shape[-1], self.maps), (self.maps,)


@dataclass(frozen=True)
class LocallyConnected(Kernels):
    """A convolution whose kernels and biases differ from pixel to pixel of the output.

    Not in the paper: the original program's networks for CIFAR-10 have two of them, its type
    "local". Kernels see the maps of their own tower, as those of `Conv`. Weights are
    [height, width, kernel * kernel * maps_in, maps], the third axis in the order of rows, columns
    and maps; biases are [height, width, maps]. The other fields are those of `Conv`.
    """

    fixes_size = True

    def param_shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the shapes of the kernels and of the biases of all pixels."""
        output = self.output_shape(shape)
        return (*output[:2], self.kernel**2 * shape[-1], self.maps), output

    def weight_uses(self, output_shape: Shape) -> int:
        """Return 1: a weight belongs to one pixel."""
        return 1


@dataclass(frozen=True)
class Pool(LayerSpec):
    """A number for each window of `size` x `size` pixels, `stride` pixels apart, in each map."""

    size: Side = 3
    stride: Side = 2
    padding: Zeros = (0, 0)

    label = "pool"
    takes = "maps"

    def __post_init__(self) -> None:
        """Refuse windows that hold nothing but padding."""
        super().__post_init__()
        if self.padding != SAME and max(self.padding) >= self.size:
            name = type(self).__name__
            raise ValueError(f"{name}'s padding must be below its size, not {self.padding}")

    def output_shape(self, shape: Shape) -> Shape:
        """Return [height, width, maps]."""
        return (*count_windows(shape[:2], self.size, self.stride, self.padding), shape[-1])


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest value of each `size` x `size` window, every `stride` pixels (§3.4).

    Windows reach `padding` pixels (before, after) past the first and last row and column; only
    pixels of the image count. `padding` may be written as for `Conv`.
    """


@dataclass(frozen=True)
class MeanPool(Pool):
    """The mean of each `size` x `size` window, every `stride` pixels.

    Not in the paper: the original program pools so with `pool=avg`. As there, a window that reaches
    past an edge is the mean of its pixels inside the image. `padding` is that of `MaxPool`.
    """
