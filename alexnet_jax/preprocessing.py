"""The preprocessing that weights were trained with: color order, scale, mean, sizes, resizing.

Weights are of little use without it: most failures to reproduce a published accuracy come from
another mean, scale, order of colors or way to resize.
"""

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.image_resize import Interpolation, Resize, resize_images
from alexnet_jax.layer_fields import whole_number

Colors = Literal["RGB", "BGR"]
LARGEST_SIZE = 2**14  # pixels; a larger one is a mistake, and its mean image takes over 3 GB


@dataclass(frozen=True, eq=False, kw_only=True)
class Preprocessing:
    """From decoded 8-bit RGB pictures to the input of the network.

    Resizes a picture to `stored_size` pixels square, takes its center crop of `input_size` pixels,
    and computes

        (scale * pixels - mean) / std

    Two values are equal if all their fields are.
    """

    stored_size: int
    """Size of the resized pictures and of a mean image, in pixels square."""
    input_size: int
    """Size of the input of the network, in pixels square."""
    mean: np.ndarray
    """[3], one number per color, or a mean image [stored_size, stored_size, 3], which gets the same
    center crop; subtracted from the scaled pixels. RGB."""
    scale: float = 1.0
    """Factor of the pixels, which are 0 to 255 before."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divisors of red, green and blue at the end."""
    resize: Resize = "shorter side"
    """"shorter side" resizes to that side and crops the central square, as torchvision does;
    "both sides" keeps the whole picture and changes its aspect ratio; "central square" crops the
    square first, on whole pixels of the picture, as our runs and records did until November 2026.
    """
    interpolation: Interpolation = "linear"
    """Between pixels. The filter widens where a picture shrinks (antialiasing), as in Pillow."""
    source_colors: Colors = "RGB"
    """The order of colors in the source file of the weights. For the record only: weights and mean
    are converted to RGB on reading."""

    def __post_init__(self) -> None:
        """Store the mean as read-only float32. Raises ValueError on values that make no sense."""
        mean = _numbers(self.mean, "mean")
        object.__setattr__(self, "mean", mean)
        for name in ("std", "scale"):
            value = _numbers(getattr(self, name), name, np.float64).tolist()
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        for name in ("stored_size", "input_size"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        if not self.input_size <= self.stored_size <= LARGEST_SIZE:
            raise ValueError(
                f"stored_size must be from input_size to {LARGEST_SIZE}, "
                f"not {self.input_size} and {self.stored_size}"
            )
        if mean.shape not in ((3,), (self.stored_size, self.stored_size, 3)):
            shapes = f"[3] or [{self.stored_size}, {self.stored_size}, 3]"
            raise ValueError(f"mean must be {shapes}, not {list(mean.shape)}")
        if not np.isfinite(mean).all():
            raise ValueError("mean must be finite")
        if not (isinstance(self.scale, float) and 0 < self.scale < math.inf):
            raise ValueError(f"scale must be a number above 0, not {self.scale}")
        std = np.array(self.std)
        if std.shape != (3,) or not ((std > 0) & (std < math.inf)).all():
            raise ValueError(f"std must be three numbers above 0, not {self.std}")
        for name, choices in (
            ("resize", Resize),
            ("interpolation", Interpolation),
            ("source_colors", Colors),
        ):
            if getattr(self, name) not in get_args(choices):
                allowed = " or ".join(map(repr, get_args(choices)))
                raise ValueError(f"{name} must be {allowed}, not {getattr(self, name)!r}")

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Preprocess pictures to the input of the network, float32 [n, input_size, input_size, 3].

        Pictures of `stored_size` pixels square are not resized again: a data set may store them
        resized by another library. Pictures of any other size become those of Pillow's `resize`
        and `crop`, to one level.

        Works under `jit`, which compiles it once for each size.

        Args:
          images: uint8 [n, height, width, 3], RGB, 0 to 255, as decoded: not scaled, and no mean
            subtracted.

        Raises:
          TypeError: images of another dtype, which may be scaled already, or that are no array.
          ValueError: images of another shape.
        """
        if not hasattr(images, "dtype"):
            raise TypeError(
                f"images must be an array, not {type(images).__name__}; np.asarray(picture)[None] "
                "makes one of a picture of Pillow"
            )
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8, as decoded, not {images.dtype}")
        if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
            raise ValueError(f"images must be [n, height, width, 3], not {list(images.shape)}")
        if images.shape[1:3] != (self.stored_size, self.stored_size):
            images = resize_images(images, self.stored_size, self.resize, self.interpolation)
        start = (self.stored_size - self.input_size) // 2
        center = slice(start, start + self.input_size)
        pixels = jnp.asarray(images)[:, center, center].astype(jnp.float32)
        mean = self.mean[center, center] if self.mean.ndim == 3 else self.mean.reshape(1, 1, 3)
        return (self.scale * pixels - mean[None]) / np.array([[[self.std]]], np.float32)

    def __str__(self) -> str:
        """Describe it in one line."""
        colors = "a mean image"
        if self.mean.ndim == 1:
            colors = "mean " + ", ".join(f"{x:.6g}" for x in self.mean)
        resizing = f"{self.resize} to {self.stored_size} pixels"
        parts = [resizing + ", bicubic" * (self.interpolation == "cubic")]
        parts.append(f"the central {self.input_size}")
        parts.append(f"RGB x {self.scale:.6g} - {colors}")
        if self.std != (1, 1, 1):
            parts.append("divided by " + ", ".join(f"{x:.6g}" for x in self.std))
        return "; ".join(parts)

    def _values(self) -> tuple:
        values = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal, the mean bit for bit."""
        return isinstance(other, Preprocessing) and self._values() == other._values()

    def __hash__(self) -> int:
        """Hash all fields, for `jax.jit`."""
        return hash(self._values())


def _numbers(value: Any, name: str, dtype: type = np.float32) -> np.ndarray:
    """Return numbers as a read-only array. Raises ValueError if they are none."""
    array = None
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        array = None if value is None else np.array(value, dtype)
    if array is None:
        raise ValueError(f"{name} must be numbers, not {value!r:.60}")
    array.setflags(write=False)
    return array
