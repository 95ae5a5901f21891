"""The names that files of `torch.save` may ask for, and what replaces them.

They are those that `torch.load(weights_only=True)` admits, and a few that are often beside a
state_dict in a checkpoint: settings, paths, times and NumPy's numbers. Only tensors are kept.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from alexnet_jax.weights.files.pickled_numpy import NUMPY_NAMES
from alexnet_jax.weights.files.restricted_pickle import PickledObject, make_dict, make_list

_NUMBERS = {"Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": jnp.bfloat16}
_NUMBERS |= {"Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?"}
# Of tensors beside a network: their sizes matter, for what follows them in a file.
_NUMBERS |= {"ComplexFloat": "c8", "ComplexDouble": "c16", "QUInt8": "u1", "QInt8": "i1"}
_NUMBERS |= {"QInt32": "i4", "QUInt4x2": "u1", "QUInt2x4": "u1", "Untyped": "u1", "Typed": "u1"}


class Storage:
    """A flat row of numbers, which is not read until it is needed."""

    def __init__(self, dtype: Any, numbers: Callable[[], np.ndarray] | None = None) -> None:
        """Keep the type, which may be one that NumPy has not, and how to read the numbers."""
        self.dtype, self.numbers = dtype, numbers or self._missing

    def _missing(self) -> np.ndarray:
        raise ValueError("its numbers are missing")

    def view(self, start: int, count: int) -> "Storage":
        """A part of the row."""
        return Storage(self.dtype, lambda: self.numbers()[start : start + count])


class Tensor(NamedTuple):
    """A strided view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # counted in numbers

    def array(self) -> np.ndarray:
        """The array. Raises ValueError if the storage is too short for it."""
        sizes = (self.offset, *self.shape, *self.strides)
        if len(sizes) > 129 or not all(type(n) is int and 0 <= n < 2**62 for n in sizes):
            raise ValueError("its shape or strides are not sizes")
        if not isinstance(self.storage.dtype, np.dtype):
            raise ValueError("its numbers are of a type that NumPy has not")
        numbers = self.storage.numbers()
        axes = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in axes)
        if last >= len(numbers) or math.prod(self.shape) > len(numbers):
            raise ValueError("it is larger than its storage")
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides)


class Parameter(PickledObject):
    """A tensor of a module."""

    data: Any = None

    def __init__(self, data: Any = None, *_: Any) -> None:
        """Keep the tensor."""
        self.data = data

    def __setstate__(self, state: Any) -> None:
        """Keep the tensor, as the first versions of PyTorch saved it, with four other values."""
        if isinstance(state, tuple) and len(state) == 5:
            self.data = state[0]


def _rebuild_from_type(rebuild: Any, _: Any, arguments: Any, *others: Any) -> Any:
    """A tensor with attributes of its own, or of a class of its own, without them."""
    return rebuild(*arguments)


def _first(*items: Any) -> Any:
    return items[0] if items else ()


_DTYPES = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64"
_DTYPES += " complex32 complex64 complex128 quint8 qint8 qint32 quint4x2 quint2x4"
_DTYPES += " float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"
_QUANTIZED = "per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric"
_IGNORED = {
    "torch": f"device Tensor {_DTYPES} {_QUANTIZED}",
    "torch._utils": "_rebuild_qtensor _rebuild_tensor_v3 _rebuild_sparse_tensor"
    " _rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass"
    " _rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor",
    "torch.serialization": "_get_layout",
    "torch.torch_version": "TorchVersion",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "pathlib": "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath",
    "pathlib._local": "PosixPath WindowsPath PurePosixPath PureWindowsPath",  # in Python 3.13
    "datetime": "datetime date time timedelta timezone",
    "builtins": "bytearray complex int float str bool list",
    "__builtin__": "bytearray complex int float str bool list",  # of Python 2
    "numpy.dtypes": "Float64DType Float32DType Float16DType Int64DType Int32DType BoolDType",
}

TORCH_NAMES: dict[tuple[str, str], Any] = {
    **NUMPY_NAMES,
    **{(module, name): PickledObject for module in _IGNORED for name in _IGNORED[module].split()},
    ("collections", "OrderedDict"): make_dict,
    ("collections", "Counter"): make_dict,
    ("builtins", "set"): make_list,
    ("builtins", "frozenset"): make_list,
    ("builtins", "dict"): make_dict,
    ("__builtin__", "set"): make_list,
    ("__builtin__", "frozenset"): make_list,
    ("collections", "defaultdict"): lambda *_: {},
    ("torch", "Size"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch._utils", "_rebuild_tensor"): lambda *window: Tensor(*window),
    ("torch._utils", "_rebuild_tensor_v2"): lambda *window: Tensor(*window[:4]),
    ("torch._utils", "_rebuild_parameter"): Parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): Parameter,
    ("torch.nn.parameter", "Parameter"): Parameter,
}
"""What replaces the names, for `load_pickle`. The types of storages are NumPy's types."""
for _kind in ("Storage", "Tensor"):
    for _module in ("torch", "torch.cuda", "torch.storage"):
        for _name, _type in _NUMBERS.items():
            TORCH_NAMES[_module, _name + _kind] = np.dtype(_type)
