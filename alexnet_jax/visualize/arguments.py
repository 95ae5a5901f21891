"""The arguments of `visualize`, checked before the network runs: images, classes and maps.

JAX clamps an index out of range, so that a map of another class would be returned. Values that
cannot be read, since JAX traces them, as under `jit`, or another process holds them, pass.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def as_images(images: Any) -> jax.Array:
    """Return images [n, height, width, 3]. Raises ValueError for any other shape."""
    array = _as_array(images, "images")
    if array.ndim != 4 or array.shape[3] != 3:
        raise ValueError(f"`images` must be [n, height, width, 3], not {list(array.shape)}")
    return _check_floating(array, "images")


def as_image(image: Any) -> jax.Array:
    """Return one image [height, width, 3]. Raises ValueError for a batch of them."""
    array = _as_array(image, "image")
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"`image` must be one image, [height, width, 3], not {list(array.shape)}")
    return _check_floating(array, "image")


def _as_array(images: Any, label: str) -> jax.Array:
    try:
        return jnp.asarray(images)
    except (TypeError, ValueError):
        raise ValueError(f"`{label}` must be an array, not {type(images).__name__}") from None


def _check_floating(array: jax.Array, label: str) -> jax.Array:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"`{label}` must be floating and mean-subtracted, not {array.dtype}")
    return array


def as_indices(values: Any, label: str) -> Any:
    """Return whole numbers as a NumPy array, or as JAX's if they cannot be read."""
    if not all(map(is_readable, jax.tree.leaves(values))):
        array = jnp.asarray(values)
    else:
        try:
            array = np.asarray(values)
        except (TypeError, ValueError):
            raise ValueError(f"`{label}` must be whole numbers, in rows of one length") from None
        if not array.size:
            return array.astype(np.int32)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        found = type(values).__name__ if array.dtype.kind in "OUS" else array.dtype
        raise ValueError(f"`{label}` must be whole numbers, not {found}")
    return array


def as_classes(classes: Any, images: int) -> Any:
    """Return a class for each image; one number stands for all of them."""
    array = as_indices(classes, "classes")
    if array.ndim == 0:
        return np.full(images, array) if is_readable(array) else jnp.full(images, array)
    if array.shape != (images,):
        found = len(array) if array.ndim == 1 else f"an array of shape {list(array.shape)}"
        raise ValueError(
            f"`classes` must be one number, or one for each of the images, {images}, not {found}"
        )
    return array


def check_range(indices: Any, count: int, label: str, owner: str) -> None:
    """Raise ValueError unless the known ones of `as_indices` are from 0 to `count` - 1.

    Args:
      indices: from `as_indices`.
      count: of the classes, or the maps of a layer.
      label: the argument's name.
      owner: the end of the message, such as "PAPER has 1,000 classes".
    """
    if not is_readable(indices):
        return
    outside = indices[(indices < 0) | (indices >= count)]
    if outside.size:
        found = outside.ravel()[0]
        raise ValueError(f"`{label}` must be from 0 to {count - 1}, not {found}: {owner}")


def is_readable(value: Any) -> bool:
    """Whether a value is known here: JAX does not trace it, and this process holds all of it."""
    if isinstance(value, Tracer):
        return False
    return not isinstance(value, jax.Array) or value.is_fully_addressable
