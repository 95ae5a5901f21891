"""What a set of weights was trained to see: colors, scale, mean, sizes and the rule of resizing.

Weights without this are half of a net: most failures to reproduce a published accuracy come from
another mean, another scale, another order of colors or another way to resize.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Resize = Literal["shorter side", "both sides"]
Interpolation = Literal["linear", "cubic"]
Colors = Literal["RGB", "BGR"]
LARGEST_SIZE = 2**14  # pixels; more can only be a mistake


@dataclass(frozen=True, eq=False, kw_only=True)
class Preprocessing:
    """From 8-bit RGB pictures to what the net reads.

    A picture is brought to `stored_size` pixels square, its center of `input_size` pixels cut out,
    and

        (scale * pixels - mean) / std

    computed. Two are equal if all their fields are.
    """

    stored_size: int
    """Pixels square that pictures are brought to; the size of a mean image."""
    input_size: int
    """Pixels square that the net reads."""
    mean: np.ndarray
    """[3], one number a color, or a mean image [stored_size, stored_size, 3], of which the same
    center is cut out; subtracted from scaled pixels. RGB."""
    scale: float = 1.0
    """What pixels from 0 to 255 are multiplied with first."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What red, green and blue are divided by at the end."""
    resize: Resize = "shorter side"
    """"shorter side" keeps the shape of things and loses what lies outside of the central square;
    "both sides" loses nothing and squashes the picture."""
    interpolation: Interpolation = "linear"
    """Between pixels. Where a picture shrinks, the kernel widens with it, as Pillow's does."""
    source_colors: Colors = "RGB"
    """The order of colors in the file that the weights came from. Here everything is RGB: weights
    and mean were turned when they were read."""

    def __post_init__(self) -> None:
        """Keep the mean as float32 that nobody can write to. Raises ValueError on nonsense."""
        mean = np.array(self.mean, np.float32)
        mean.setflags(write=False)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        if not 0 < self.input_size <= self.stored_size <= LARGEST_SIZE:
            raise ValueError(
                f"input_size must be above 0, and stored_size from there to {LARGEST_SIZE}, "
                f"not {self.input_size} and {self.stored_size}"
            )
        if mean.shape not in ((3,), (self.stored_size, self.stored_size, 3)):
            wanted = f"[3] or [{self.stored_size}, {self.stored_size}, 3]"
            raise ValueError(f"mean must be {wanted}, not {list(mean.shape)}")
        if not np.isfinite(mean).all():
            raise ValueError("mean must be finite")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a number above 0, not {self.scale}")
        if len(self.std) != 3 or not all(0 < x < math.inf for x in self.std):
            raise ValueError(f"std must be three numbers above 0, not {self.std}")
        for name, words in (
            ("resize", Resize),
            ("interpolation", Interpolation),
            ("source_colors", Colors),
        ):
            if getattr(self, name) not in get_args(words):
                choice = " or ".join(map(repr, get_args(words)))
                raise ValueError(f"{name} must be {choice}, not {getattr(self, name)!r}")

    def __call__(self, images: jax.Array | np.ndarray) -> jax.Array:
        """Return what the net reads, float32 [n, input_size, input_size, 3].

        Pictures of `stored_size` pixels square are taken as they are, so that those which a data
        set keeps in that size, resized by another library, go through unchanged. Pictures of any
        other size are resized here, first rows, then columns, antialiased and rounded to 8 bits
        each time, as Pillow does it: to one level.

        Goes through `jit`, compiled once for each size.

        Args:
          images: uint8 [n, height, width, 3], RGB, 0 to 255, as decoded: not turned, scaled or
            centered.

        Raises:
          TypeError: images of another type; whether they are scaled already cannot be known.
          ValueError: images of another shape.
        """
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8, as decoded, not {images.dtype}")
        if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
            raise ValueError(f"images must be [n, height, width, 3], not {list(images.shape)}")
        if images.shape[1:3] != (self.stored_size, self.stored_size):
            images = self._resized(jnp.asarray(images))
        start = (self.stored_size - self.input_size) // 2
        center = slice(start, start + self.input_size)
        pixels = jnp.asarray(images)[:, center, center].astype(jnp.float32)
        mean = self.mean[center, center] if self.mean.ndim == 3 else self.mean
        return (self.scale * pixels - mean) / np.asarray(self.std, np.float32)

    def _resized(self, images: jax.Array) -> jax.Array:
        """The pictures in the stored size, by the rule: float32 of whole numbers, 0 to 255."""
        size, sides = self.stored_size, images.shape[1:3]
        if self.resize == "both sides":
            resized = (size, size)
        else:
            resized = tuple(size * side // min(sides) for side in sides)
        for axis in (2, 1):  # along rows, then columns, and rounded in between, as Pillow does
            old, new = sides[axis - 1], resized[axis - 1]
            # Rounded to even where the rest is odd, as torchvision does. The center alone is
            # computed: all of a long thin strip would take gigabytes.
            corner = round((new - size) / 2)
            shape = tuple(size if i == axis else n for i, n in enumerate(images.shape))
            scale, shift = jnp.array([new / old], jnp.float32), jnp.array([-corner], jnp.float32)
            floats = images.astype(jnp.float32)
            floats = jax.image.scale_and_translate(
                floats, shape, (axis,), scale, shift, self.interpolation
            )
            images = jnp.clip(jnp.round(floats), 0, 255)
        return images

    def __str__(self) -> str:
        """Say it in one line."""
        colors = "a mean image"
        if self.mean.ndim == 1:
            colors = "mean " + ", ".join(f"{x:.6g}" for x in self.mean)
        parts = [f"{self.resize} to {self.stored_size} pixels", f"the central {self.input_size}"]
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
        """Return what equal values share; `jax.jit` asks for it."""
        return hash(self._values())
