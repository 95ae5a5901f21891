"""What a page shows of a network, as values of JSON: its input, its classes, a row for each layer.

A row holds the maps or features of all towers. A convolution or dense layer makes one row with the
batch normalization and the nonlinearity that follow it: the numbers are those after the last.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    MaxPool,
    MeanPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Split,
    Tanh,
)
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing

DIGITS = tuple("0123456789")
_WORDS = {
    Dense: "dense",
    Relu: "ReLU",
    Tanh: "tanh",
    ResponseNorm: "response normalization",
    SpatialNorm: "normalization by neighborhood",
    BatchNorm: "batch normalization",
}
_KEEP_THE_SIGN = ResponseNorm | SpatialNorm | MaxPool | MeanPool | Gather | Split


def describe(
    params: Params,
    architecture: Architecture,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Return all that a page needs beside the ONNX model, whose further outputs its rows name."""
    infos = architecture.layer_info(preprocessing.input_size)
    classes = [*(class_names or map(str, range(architecture.classes)))]
    is_digits = tuple(classes) == DIGITS
    gray = _is_gray(preprocessing.mean, is_digits)
    return {
        "name": architecture.name,
        "towers": architecture.towers,
        "parameters": architecture.parameters,
        "classes": classes,
        "input": {
            "stored_size": preprocessing.stored_size,
            "input_size": preprocessing.input_size,
            "resize": preprocessing.resize,
            "interpolation": preprocessing.interpolation,
            "gray": gray,
            "centered": gray and is_digits,
        },
        "kernels": _kernels(infos, params, gray),
        "rows": [*_rows(infos, architecture.towers)],
    }


def layer_names(description: dict[str, Any]) -> list[str]:
    """Return the layers whose outputs the rows of a description show, in their order."""
    return [row["layer"] for row in description["rows"] if "layer" in row]


def _is_gray(mean: np.ndarray, is_digits: bool) -> bool:
    """Whether the network was trained on gray pictures, whose three colors have one mean.

    A mean of zeros tells nothing; classes that are called as the digits then do.
    """
    return bool((mean == mean[..., :1]).all() and (mean.any() or is_digits))


def _kernels(infos: Sequence[LayerInfo], params: Params, gray: bool) -> dict[str, Any] | None:
    """Return the first convolution's kernels as pixels, each on its own scale around gray 128.

    A gray picture has three equal colors, so that a kernel's sum over them is what it sees.
    """
    first = next(info for info in infos if info.weight_shape)
    if not isinstance(first.spec, Conv) or first.input_shape[-1] != 3:
        return None
    weights = np.asarray(params[first.name][0], np.float32)
    weights = weights.sum(axis=2, keepdims=True) if gray else weights
    largest = np.maximum(np.abs(weights).max(axis=(0, 1, 2)), np.finfo(np.float32).tiny)
    pixels = np.rint(127.5 + 127.5 * weights / largest).astype(np.uint8).transpose(3, 0, 1, 2)
    text = base64.b64encode(pixels.tobytes()).decode()
    return {"layer": first.name, "shape": pixels.shape, "pixels": text}


def _rows(infos: Sequence[LayerInfo], towers: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that changes numbers, and for each place where towers meet."""
    shown = [info for info in infos if not isinstance(info.spec, Flatten | Dropout)]
    names: list[str] = []
    words: list[str] = []
    signed = True  # the input minus its mean
    for info, after in zip(shown, [*shown[1:], None], strict=True):
        spec = info.spec
        count = info.output_shape[-1]
        unit = "maps" if len(info.output_shape) == 3 else "features"
        if isinstance(spec, Gather | Split | Output):
            if towers > 1:
                yield {"junction": type(spec).__name__.lower(), "count": count, "unit": unit}
            continue
        signed = signed if isinstance(spec, _KEEP_THE_SIGN) else not isinstance(spec, Relu)
        names.append(info.name)
        words.append(_about(info))
        if after is not None and _goes_on(spec, after.spec):
            continue
        side = info.output_shape[0] if unit == "maps" else 1
        yield {
            "layer": info.name,
            "names": names,
            "about": ", ".join(words),
            "unit": unit,
            "count": count,
            "side": side,
            "signed": signed,
            "replicated": info.replicated_out and towers > 1,
        }
        names, words = [], []


def _goes_on(spec: LayerSpec, after: LayerSpec) -> bool:
    """Whether a layer and the one after it make one row."""
    if isinstance(spec, BatchNorm):
        return isinstance(after, Relu | Tanh)
    return isinstance(spec, Conv | Dense) and isinstance(after, BatchNorm | Relu | Tanh)


def _about(info: LayerInfo) -> str:
    """Describe a layer in a few words."""
    match info.spec:
        case Conv(kernel=kernel, stride=stride):
            return f"convolution {kernel} × {kernel}" + (f", stride {stride}" * (stride > 1))
        case MaxPool(size=size) | MeanPool(size=size):
            kind = "max" if isinstance(info.spec, MaxPool) else "mean"
            return f"{kind} pool {size} × {size}"
        case spec:
            return _WORDS.get(type(spec), type(spec).__name__)
