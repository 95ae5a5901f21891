"""Pickles from strangers. A pickle is a program; those that are read here can make numbers only."""

import pickle
from collections.abc import Callable, Mapping
from typing import Any

Names = Mapping[tuple[str, str], Any]
"""What stands for a name of a module: (module, name) to something of ours."""

# They set attributes, reach for what is elsewhere, or take memory before it is known whether the
# file fills it.
_REFUSED = (
    pickle.BUILD,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)


def unpickled(file: Any, names: Names, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Read one pickle, and leave the file behind it.

    Args:
      file: with `read` and `readline`; the most memory that is taken is in proportion to it.
      names: all that the pickle may ask for.
      persistent: what stands for things that were kept outside of the pickle, by their id.

    Raises:
      ValueError: a pickle that asks for more. A damaged one can raise anything.
    """
    return _Restricted(file, names, persistent).load()


class _Restricted(pickle._Unpickler):
    """One in Python, for that in C takes as much memory as a pickle asks for."""

    stack: list[Any]
    dispatch: Any = {  # noqa: RUF012 - as the class above has it
        code: run
        for code, run in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in _REFUSED
    }

    def __init__(self, file: Any, names: Names, persistent: Callable[[Any], Any] | None) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's strings, which may be numbers
        self.names, self.persistent = names, persistent

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name. Raises ValueError if nothing does."""
        if (module, name) not in self.names:
            raise ValueError(f"it asks for {module}.{name}, which is refused")
        return self.names[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Return what stands for a thing outside. Raises ValueError if there is none."""
        if self.persistent is None:
            raise ValueError("it asks for something outside of it")
        return self.persistent(pid)

    def _take_state(self) -> None:
        """Hand an object its state if it has a way to take it; no attributes are set."""
        state = self.stack.pop()
        if hasattr(self.stack[-1], "__setstate__"):
            self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = _take_state


def ordered(*items: list) -> dict:
    """Stand for collections.OrderedDict in `names`."""
    made = dict(*items)
    for pairs in items:
        # Emptied, or else a short pickle could have a long list copied again and again.
        pairs.clear()
    return made
