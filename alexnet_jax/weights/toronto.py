"""bvlc_alexnet.npy of the University of Toronto: Caffe's weights as a pickled dictionary."""

import math
import mmap
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE
from alexnet_jax.weights import caffe
from alexnet_jax.weights.contents import Contents, params_of, with_classes
from alexnet_jax.weights.pickles import unpickled

MAGIC = b"\x93NUMPY"
_TYPES = ("f2", "f4", "f8")


class _Type:
    """A type of numpy's, of which the order of bytes is told later."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """An array, of which everything is told later. No memory is taken for what it claims to be."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def only(self) -> Any:
        """The one object in an array of objects."""
        _, shape, _, _, [content] = self.state
        if shape not in ((), (1,)):
            raise ValueError(f"it is an array of {list(shape)}, not one dictionary")
        return content

    def numbers(self) -> np.ndarray:
        """The array, of floating numbers. Raises ValueError if it is none."""
        _, shape, kind, by_columns, raw = self.state
        if kind.code not in _TYPES or kind.order not in "<>":
            raise ValueError(f"it has numbers of type {kind.order}{kind.code}")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2's strings
        numbers = np.frombuffer(raw, kind.order + kind.code)
        if min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
            raise ValueError(f"{numbers.size} numbers do not make an array of {list(shape)}")
        return numbers.reshape(shape, order="F" if by_columns else "C")


# numpy moved its core to another name in version 2; Python 3 wraps bytes for Python 2 to read.
_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): lambda text, _: text,
}


def contents(
    data: mmap.mmap, architecture: Architecture | None, mean: np.ndarray | None
) -> Contents:
    """Return what the file holds, in which axes stand as ours and colours as Caffe's.

    Args:
      data: the file, from its beginning.
      architecture: the net it has to be, if not CAFFE with any number of classes.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: a file that is damaged, or asks for more than arrays.
    """
    short = np.lib.format.read_magic(data) == (1, 0)
    header = "read_array_header_1_0" if short else "read_array_header_2_0"
    _, _, kind = getattr(np.lib.format, header)(data)
    if not kind.hasobject:
        raise ValueError("it is a plain array, not a dictionary of layers")
    layers = unpickled(data, _NAMES).only()
    if not isinstance(layers, dict):
        raise ValueError("it is no dictionary of layers")
    arrays = {}
    for name, pair in layers.items():
        if not (isinstance(name, str) and isinstance(pair, list | tuple) and len(pair) == 2):
            raise ValueError(f"{name!r:.40} has no list of weights and biases")
        try:
            arrays[name] = pair[0].numbers(), pair[1].numbers()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    net = architecture or with_classes(CAFFE, arrays)
    params = params_of(net, arrays, outputs_first=False, bgr=True)
    if others := arrays.keys() - params.keys():
        raise ValueError(f"it has {min(others)}, which {net.name} has not")
    return Contents("Toronto's", params, net, caffe.preprocessing(net, mean))
