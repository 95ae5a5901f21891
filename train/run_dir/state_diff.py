"""Compare the state in a checkpoint with the state that a run expects.

Orbax reports some differences in a page of text, and casts another number type silently.
"""

from typing import Any

import jax
import jax.numpy as jnp


def describe_difference(saved: Any, expected: Any) -> str | None:
    """Return the first difference, as "has weights of (32, 7) in fc8, not (32, 3)"; None without.

    Args:
      saved: pytree of objects with a shape and a dtype, as in Orbax's metadata of a checkpoint.
      expected: pytree of arrays or `jax.ShapeDtypeStruct`.
    """
    saved_arrays, expected_arrays = _arrays(saved), _arrays(expected)
    # Parameters first, because the optimizer's state differs along with them.
    for path in sorted(expected_arrays, key=lambda path: path[0] != "params"):
        what, where = _describe_path(path)
        if path not in saved_arrays:
            return f"has no {what}{where}"
        old, new = saved_arrays[path], expected_arrays[path]
        if tuple(old.shape) != tuple(new.shape):
            return f"has {what} of {tuple(old.shape)}{where}, not {tuple(new.shape)}"
        if jnp.dtype(old.dtype) != jnp.dtype(new.dtype):
            return f"has {what} of {jnp.dtype(old.dtype)}{where}, not {jnp.dtype(new.dtype)}"
    for path in saved_arrays:
        if path not in expected_arrays:
            what, where = _describe_path(path)
            return f"has {what}{where}, which is not expected"
    return None


def _arrays(tree: Any) -> dict[tuple[str, ...], Any]:
    """Return the leaves that have a shape by their path, of names and numbers of any node type."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {tuple(map(_name, path)): x for path, x in leaves if hasattr(x, "shape")}


def _name(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _describe_path(path: tuple[str, ...]) -> tuple[str, str]:
    """Return what and where: ("weights", " in conv1") for a parameter, else the path and ""."""
    if len(path) == 3 and path[0] == "params":
        return path[2], f" in {path[1]}"
    return "/".join(path), ""
