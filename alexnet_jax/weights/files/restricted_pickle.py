"""Pickles from strangers: a pickle is a program, and one that is read here can only make data.

Every name that a pickle asks for is looked up in a table of ours; `pickled_numpy` has NumPy's.
Time and memory are bounded: a pickle of 310 bytes could otherwise keep a computer busy for years.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any

Names = Mapping[tuple[str, str], Any]
"""What replaces each name of a module: (module, name) to a function or class of ours."""

MAX_OPERATIONS = 2_000_000
"""Of one pickle, at up to 100 bytes each. A state_dict of AlexNet has 2,000, one with its optimizer
6,000, and a history of the loss adds one a step."""
MAX_ARGUMENTS = 100  # of one call; a pickle could have the same million copied in every call
MAX_NAME = 1000  # characters of a key, and of a string of Python 2 that is not binary data

# Operations that reach outside of the pickle, or take memory before it is known whether the file
# fills it, and one that nothing here needs.
_REFUSED = (
    pickle.NEWOBJ_EX,
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

    Sets become lists. A key of a dictionary that is neither a short string nor an integer of 64
    bits becomes an object that equals no other: hashing a tuple of tuples can take for ever.

    Args:
      file: with `read` and `readline`. The memory taken is at most in proportion to its size.
      names: all that the pickle may ask for.
      load_persistent: returns an object that is stored outside of the pickle, by its id, a tuple or
        a string.

    Raises:
      ValueError: a pickle that asks for more. A damaged one can raise anything.
    """
    return _RestrictedUnpickler(file, names, load_persistent).load()


class PickledObject:
    """An object in a pickle. This class ignores all of it, and stands for those not needed."""

    def __init__(self, *_: Any) -> None:
        """Ignore what the object is made from."""

    def __setstate__(self, state: Any) -> None:
        """Ignore its attributes."""

    def append(self, item: Any) -> None:
        """Ignore an item of a list."""


class RefusedName(ValueError):
    """A pickle asks for a name that nothing replaces."""


def latin1_bytes(text: str, _: str) -> bytes:
    """Replace _codecs.encode, in which Python 3 wraps bytes so that Python 2 reads them."""
    return text.encode("latin1")


def make_dict(*items: Any) -> dict:
    """Replace collections.OrderedDict and the like: a dictionary of none or a list of pairs."""
    [pairs] = items or [[]]
    if isinstance(pairs, dict):
        return pairs
    made = {}
    for pair in _take(pairs):
        key, value = pair
        made[_safe_key(key)] = value
    return made


def make_list(*items: Any) -> list:
    """Replace sets and the like: a list of none or a list of items."""
    return _take(items[0]) if items else []


def _take(items: Any) -> list:
    """Move the items out of a list.

    A short pickle could have a long list copied again and again.
    """
    if not isinstance(items, list):
        raise ValueError("it has something else where a list should be")
    taken = items[:]
    items.clear()
    return taken


def _safe_key(key: Any) -> Any:
    short = isinstance(key, str) and len(key) <= MAX_NAME
    small = key is None or (isinstance(key, int) and -(2**63) <= key < 2**63)
    return key if short or small else object()


class _RestrictedUnpickler(pickle._Unpickler):
    """An unpickler in Python: the one in C takes as much memory as a pickle asks for."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self, file: Any, names: Names, load_persistent: Callable[[Any], Any] | None
    ) -> None:
        super().__init__(file, encoding="latin1")  # Python 2's strings, which may be numbers
        self.names, self.load_persistent = names, load_persistent
        self.encoded: dict[int, tuple[str, bytes]] = {}
        self.dispatch: Any = _Operations(_OPERATIONS)

    def find_class(self, module: str, name: str) -> Any:
        """Return what replaces a name. Raises ValueError if nothing does."""
        if (module, name) not in self.names:
            raise RefusedName(f"it asks for {module}.{name}, which is refused")
        found = self.names[module, name]
        return self._encode_once if found is latin1_bytes else found

    def persistent_load(self, pid: Any) -> Any:
        """Return an object that is stored outside. Raises ValueError if there is none."""
        if self.load_persistent is None:
            raise ValueError("it asks for something outside of it")
        if not isinstance(pid, str) and not (isinstance(pid, tuple) and len(pid) <= MAX_ARGUMENTS):
            raise ValueError("it asks for something outside of it by no name")
        return self.load_persistent(pid)

    def _encode_once(self, text: str, encoding: str) -> bytes:
        """Encode every string once, however often the pickle asks for it."""
        if id(text) not in self.encoded:
            self.encoded[id(text)] = text, latin1_bytes(text, encoding)
        return self.encoded[id(text)][1]

    def _decode_string(self, value: bytes) -> str | bytes:
        """Leave long strings of Python 2, which are numbers, as bytes."""
        return value if len(value) > MAX_NAME else value.decode("latin1")

    def _set_state(self) -> None:
        """Replace BUILD: an object gets its state only by its own __setstate__."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], PickledObject):
            self.stack[-1].__setstate__(state)

    def _call(self) -> None:
        """Replace REDUCE and NEWOBJ, which copy all arguments."""
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
            raise ValueError(f"it has a call without a tuple of up to {MAX_ARGUMENTS} arguments")
        self.stack[-1] = self.stack[-1](*arguments)

    def _push_list(self) -> None:
        """Replace EMPTY_SET."""
        self.append([])

    def _push_items(self) -> None:
        """Replace FROZENSET."""
        items = self.pop_mark()  # which replaces `append`
        self.append(items)

    def _push_dict(self) -> None:
        """Replace DICT."""
        items = self.pop_mark()
        self.append({})
        self._set_pairs(items)

    def _set_item(self) -> None:
        """Replace SETITEM."""
        value = self.stack.pop()
        self._set_pairs([self.stack.pop(), value])

    def _set_items(self) -> None:
        """Replace SETITEMS."""
        self._set_pairs(self.pop_mark())

    def _set_pairs(self, items: list[Any]) -> None:
        """Set keys and values, one after another, of the dictionary on the stack."""
        target = self.stack[-1]
        if len(items) % 2:
            raise ValueError("its pickle has a key without a value")
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target |= {_safe_key(key): value for key, value in pairs}
        elif not isinstance(target, PickledObject):
            raise ValueError("it has something else where a dictionary should be")


class _Operations(dict[int, Callable[[Any], None]]):
    """The operations of one pickle by their codes, each looked up when it is run."""

    left = MAX_OPERATIONS

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"its pickle has more than {MAX_OPERATIONS:,} operations")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Callable[[Any], None]:
        raise ValueError(f"its pickle has the operation {code:#x}, which is refused")


_OPERATIONS: dict[int, Callable[[Any], None]] = {
    code: run for code, run in pickle._Unpickler.dispatch.items() if bytes([code]) not in _REFUSED
}
_OPERATIONS |= {
    pickle.BUILD[0]: _RestrictedUnpickler._set_state,
    pickle.REDUCE[0]: _RestrictedUnpickler._call,
    pickle.NEWOBJ[0]: _RestrictedUnpickler._call,
    pickle.EMPTY_SET[0]: _RestrictedUnpickler._push_list,
    pickle.FROZENSET[0]: _RestrictedUnpickler._push_items,
    pickle.ADDITEMS[0]: _OPERATIONS[pickle.APPENDS[0]],
    pickle.DICT[0]: _RestrictedUnpickler._push_dict,
    pickle.SETITEM[0]: _RestrictedUnpickler._set_item,
    pickle.SETITEMS[0]: _RestrictedUnpickler._set_items,
}
