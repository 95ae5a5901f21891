"""Layer types: one frozen dataclass per kind of layer.

`ops` computes them, and `architecture` derives their shapes. Widths (`maps`, `features`) count all
towers together, as the paper's text does.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """A convolution with biases (§3.5). Its kernels see the maps of their own tower only.

    On the image, or after a `Gather`, they see all maps. `padding` is the number of zeros
    (before, after) the first and last row and column. Kernels start from N(0, `std`^2) and every
    bias from `bias` (§5).
    """

    name: str
    maps: int
    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    std: float = 0.01
    bias: float = 0.0


@dataclass(frozen=True)
class Dense:
    """A fully-connected layer (§3.5): sees its own tower, or all features after `Gather`."""

    name: str
    features: int
    std: float = 0.01
    bias: float = 0.0


@dataclass(frozen=True)
class Output:
    """The logits of the classes: products with each tower's features, summed, plus biases.

    This equals a dense layer on the features of all towers, the original program's fc1000.
    """

    name: str
    classes: int
    std: float = 0.01
    bias: float = 0.0


@dataclass(frozen=True)
class Relu:
    """f(x) = max(0, x) (§3.1)."""


@dataclass(frozen=True)
class ResponseNorm:
    """Local response normalization over `n` neighboring maps (§3.3).

    The maps are those of one tower, or of all towers after a `Gather`.
    `divide_alpha_by_n` selects the meaning of `alpha`: False is the formula printed in the paper,
    TensorFlow's and Theano-AlexNet's; True is that of the original 2012 program, Caffe, PyTorch
    and ONNX, which divide by n.
    """

    n: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75
    divide_alpha_by_n: bool = False

    def __post_init__(self) -> None:
        """Refuse an even window, which has no central map."""
        if self.n < 1 or self.n % 2 == 0:
            raise ValueError(f"ResponseNorm's n must be odd and at least 1, not {self.n}")


@dataclass(frozen=True)
class SpatialNorm:
    """Normalization of each map by its own `size` x `size` neighborhood.

    Not in the paper: the original program has it after the second response normalization (its
    layers cnorm2a and cnorm2b). As there, `alpha` is divided by the number of pixels.
    """

    size: int = 5
    k: float = 1.0
    alpha: float = 1e-3
    beta: float = 0.75

    def __post_init__(self) -> None:
        """Refuse an even window, which has no central pixel."""
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"SpatialNorm's size must be odd and at least 1, not {self.size}")


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization of each map over images and pixels (Ioffe and Szegedy 2015).

    Not in the paper: notebooks use it in place of response normalization. Training normalizes by
    the statistics of the batch, evaluation by running ones, which keep `momentum` of their value in
    every step. The defaults are those of Keras.
    """

    momentum: float = 0.99
    epsilon: float = 1e-3


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each `size` x `size` window, every `stride` pixels (§3.4).

    Windows reach `padding` pixels (before, after) past the first and last row and column; only
    pixels of the image count.
    """

    size: int = 3
    stride: int = 2
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        """Refuse windows that hold nothing but padding."""
        if max(self.padding) >= self.size:
            raise ValueError(f"MaxPool's padding must be below its size, not {self.padding}")


@dataclass(frozen=True)
class Gather:
    """Where the towers meet (§3.2): each continues with the maps or features of all towers."""


@dataclass(frozen=True)
class Split:
    """Where the towers separate after a `Gather`: each continues with its own maps.

    Layers between `Gather` and `Split` see the maps of all towers, as Caffe's normalization does.
    """


@dataclass(frozen=True)
class Flatten:
    """Reshape maps [height, width, maps] to features, in this order."""


@dataclass(frozen=True)
class Dropout:
    """Zero half of the activations in training; halve all of them in evaluation (§4.2).

    `inverted` instead doubles the activations that training keeps, and leaves evaluation unchanged,
    as later libraries do. The mean is the same up to a factor of two.
    """

    inverted: bool = False


LayerSpec = (
    Conv
    | Dense
    | Output
    | Relu
    | ResponseNorm
    | SpatialNorm
    | BatchNorm
    | MaxPool
    | Gather
    | Split
    | Flatten
    | Dropout
)
