"""Ways to damage a file, by Hypothesis: its reader gives a sentence or what the file holds."""

import datetime
import os
import tempfile
from pathlib import Path

import pytest

from train.config.errors import BadInput

hypothesis = pytest.importorskip("hypothesis", reason="the extra test installs it")
from hypothesis import strategies as st  # noqa: E402 - it may be missing

fuzzed = hypothesis.settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=datetime.timedelta(seconds=30),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def scratch():
    """A new folder: pytest's own would be numbered in thousands."""
    return Path(tempfile.mkdtemp())


@st.composite
def edits(draw):
    """Some ways to damage bytes, with places from 0 to 1."""
    ways = st.sampled_from(["set", "insert", "cut", "end"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(ways, place, st.binary(min_size=1, max_size=9)), min_size=1))


def damaged(whole, changes):
    data = bytearray(whole)
    for way, place, some in changes:
        at = int(place * len(data))
        match way:
            case "set":
                data[at : at + len(some)] = some[: len(data) - at]
            case "insert":
                data[at:at] = some
            case "cut":
                del data[at : at + 7 * len(some)]
            case "end":
                del data[at:]
    return bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PATH = st.lists(st.integers(0, 99), max_size=5)


def with_leaf(values, path, leaf):
    """JSON values with another one in a place that `path` leads to, as far as it does."""
    if not path or not values or not isinstance(values, dict | list):
        return leaf
    step, *rest = path
    keys = list(values) if isinstance(values, dict) else range(len(values))
    key = keys[step % len(keys)]
    changed = values.copy()
    changed[key] = with_leaf(values[key], rest, leaf)
    return changed


def read_or_refuse(read):
    """Return what is read; None if it is refused, in one line."""
    try:
        return read()
    except BadInput as error:
        assert "\n" not in str(error)  # noqa: PT017 - also where nothing is refused
        return None
