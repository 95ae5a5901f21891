"""Pickles from strangers: a pickle is a program, and one that is read here can only make data.

Every name that a pickle asks for is looked up in a table of ours. NumPy's arrays are read without
NumPy's unpickling, as its versions under Python 2 and 3 wrote them.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Names = Mapping[tuple[str, str], Any]
"""What replaces each name of a module: (module, name) to a function or class of ours."""

# Operations that set attributes, reach outside of the pickle, or take memory before it is known
# whether the file fills it.
_REFUSED = (
    pickle.BUILD,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)


def load_pickle(
    file: Any, names: Names, load_persistent: Callable[[Any], Any] | None = None
) -> Any:
    """Read one pickle and leave the file at its end.

    Args:
      file: with `read` and `readline`. The memory taken is at most in proportion to its size.
      names: all that the pickle may ask for.
      load_persistent: returns an object that is stored outside of the pickle, by its id.

    Raises:
      ValueError: a pickle that asks for more. A damaged one can raise anything.
    """
    return _RestrictedUnpickler(file, names, load_persistent).load()


class _RestrictedUnpickler(pickle._Unpickler):
    """An unpickler in Python: the one in C takes as much memory as a pickle asks for."""

    stack: list[Any]
    dispatch: Any = {  # noqa: RUF012 - declared like this in the class above
        code: run
        for code, run in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in _REFUSED
    }

    def __init__(
        self, file: Any, names: Names, load_persistent: Callable[[Any], Any] | None
    ) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's strings, which may be numbers
        self.names, self.load_persistent = names, load_persistent

    def find_class(self, module: str, name: str) -> Any:
        """Return what replaces a name. Raises ValueError if nothing does."""
        if (module, name) not in self.names:
            raise ValueError(f"it asks for {module}.{name}, which is refused")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Return an object that is stored outside. Raises ValueError if there is none."""
        if self.load_persistent is None:
            raise ValueError("it asks for something outside of it")
        return self.load_persistent(pid)

    def _set_state(self) -> None:
        """Replace the operation BUILD: an object gets its state only by its own __setstate__."""
        state = self.stack.pop()
        if hasattr(self.stack[-1], "__setstate__"):
            self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = _set_state


def ordered_dict(*items: list) -> dict:
    """Replace collections.OrderedDict in `names`."""
    made = dict(*items)
    for pairs in items:
        # Emptied, or else a short pickle could have a long list copied again and again.
        pairs.clear()
    return made


class PickledArray:
    """A NumPy array that stays bytes until `numbers`: its claimed shape takes no memory."""

    state: Any = None

    def __init__(self, *_: Any) -> None:
        """Ignore the empty array that a pickle begins with."""

    def __setstate__(self, state: Any) -> None:
        """Keep version, shape, type, order of axes and numbers."""
        self.state = state

    def item(self) -> Any:
        """Return the one object of an array of objects. Raises ValueError if there are more."""
        _, shape, _, _, [content] = self.state
        if shape not in ((), (1,)):
            raise ValueError(f"it is an array of {list(shape)}, not one dictionary")
        return content

    def numbers(self) -> np.ndarray:
        """Return the array. Raises ValueError if it is not one of floats."""
        _, shape, dtype, by_columns, raw = self.state
        if dtype.code not in ("f2", "f4", "f8") or dtype.order not in "<>":
            raise ValueError(f"it has numbers of type {dtype.order}{dtype.code}")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2's strings
        numbers = np.frombuffer(raw, dtype.order + dtype.code)
        if min(shape, default=0) < 0 or math.prod(shape) != numbers.size:
            raise ValueError(f"{numbers.size} numbers do not make an array of {list(shape)}")
        return numbers.reshape(shape, order="F" if by_columns else "C")


class _PickledDtype:
    """A NumPy type, whose byte order follows as its state."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


NUMPY_NAMES: Names = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,  # its name since NumPy 2
    ("_codecs", "encode"): lambda text, _: text,  # Python 3 wraps bytes so that Python 2 reads them
}
"""What replaces NumPy's names, for `load_pickle`."""
