"""The first difference between the state that a checkpoint holds and the one that a run needs.

Orbax would find some of these in a page of text, and cast another number type without a word.
"""

from typing import Any

import jax
import jax.numpy as jnp


def first_difference(saved: Any, wanted: Any) -> str | None:
    """Return where two states differ first, in a few words; None if they are alike.

    Args:
      saved: pytree of what has a shape and a dtype, as Orbax tells of a checkpoint.
      wanted: pytree of arrays or `jax.ShapeDtypeStruct`.
    """
    have, want = _arrays(saved), _arrays(wanted)
    # Parameters before what the optimizer made of them.
    for path in sorted(want, key=lambda path: path[0] != "params"):
        what, where = _in_words(path)
        if path not in have:
            return f"has no {what}{where}"
        old, new = have[path], want[path]
        if tuple(old.shape) != tuple(new.shape):
            return f"has {what} of {tuple(old.shape)}{where}, not {tuple(new.shape)}"
        if jnp.dtype(old.dtype) != jnp.dtype(new.dtype):
            return f"has {what} of {jnp.dtype(old.dtype)}{where}, not {jnp.dtype(new.dtype)}"
    for path in have:
        if path not in want:
            what, where = _in_words(path)
            return f"has {what}{where}, which is not wanted"
    return None


def _arrays(tree: Any) -> dict[tuple[str, ...], Any]:
    """The leaves that have a shape, by their path: whatever a node's type, by name or number."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {tuple(map(_name, path)): x for path, x in leaves if hasattr(x, "shape")}


def _name(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _in_words(path: tuple[str, ...]) -> tuple[str, str]:
    """What, and where: ("weights", " in conv1") of a parameter, the whole path of another."""
    if len(path) == 3 and path[0] == "params":
        return path[2], f" in {path[1]}"
    return "/".join(path), ""
