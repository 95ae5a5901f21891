"""Hypothesis strategies that damage a file; its reader must return data or one clear sentence."""

import datetime
import os
import tempfile
from pathlib import Path

import pytest

from train.config.errors import BadInput

hypothesis = pytest.importorskip("hypothesis", reason="the extra test installs it")
from hypothesis import strategies as st  # noqa: E402 - Hypothesis is optional

fuzzed = hypothesis.settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=datetime.timedelta(seconds=30),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def scratch():
    """A new folder. Each example needs one, and pytest would number thousands of its own."""
    return Path(tempfile.mkdtemp())


@st.composite
def edits(draw):
    """A list of edits: kind, place in the file from 0 to 1, bytes."""
    kinds = st.sampled_from(["set", "insert", "delete", "truncate"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(kinds, place, st.binary(min_size=1, max_size=9)), min_size=1))


def apply_edits(original, changes):
    data = bytearray(original)
    for kind, place, new in changes:
        at = int(place * len(data))
        match kind:
            case "set":
                data[at : at + len(new)] = new[: len(data) - at]
            case "insert":
                data[at:at] = new
            case "delete":
                del data[at : at + 7 * len(new)]
            case "truncate":
                del data[at:]
    return bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PATH = st.lists(st.integers(0, 99), max_size=5)


def with_leaf(values, path, leaf):
    """JSON values with `leaf` where `path` leads, or at the last place on it that exists."""
    if not path or not values or not isinstance(values, dict | list):
        return leaf
    step, *rest = path
    keys = list(values) if isinstance(values, dict) else range(len(values))
    key = keys[step % len(keys)]
    changed = values.copy()
    changed[key] = with_leaf(values[key], rest, leaf)
    return changed


def read_or_refuse(read):
    """The result of `read`, or None where it raises BadInput with a message of one line."""
    try:
        return read()
    except BadInput as error:
        assert "\n" not in str(error)  # noqa: PT017 - `read` may also succeed
        return None
