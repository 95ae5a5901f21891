"""Pickles that ask for more time or memory than any network needs."""

import contextlib
import struct

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.weights.files import restricted_pickle
from tests.support import pickled, weight_files
from tests.support.pickled import name, number, program, row, text

pytestmark = pytest.mark.usefixtures("bounded", "_awake")


def bomb(memo=0, depth=60):
    """The operations of a tuple of two tuples of two ...: 2**depth values in 4 bytes a level."""
    levels = range(memo, memo + depth)
    steps = (b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in levels)
    return b")q" + bytes([memo]) + b"".join(steps)


def state_dict_with(pairs):
    tensors = weight_files.state_dict(np.random.default_rng(0))
    whole = pickled.state_dict(tensors)[2:-1]
    return pickled.zipped(program(whole[:-1] + pairs + b"u"), tensors)


def tensor_with(**parts):
    """A state_dict whose last tensor has hostile parts."""
    window = {
        "storage": pickled.storage("0", 1),
        "offset": number(0),
        "shape": pickled.numbers([1]),
        "strides": pickled.numbers([1]),
    }
    made = name("torch._utils._rebuild_tensor_v2") + row(*(window | parts).values())
    return state_dict_with(text("classifier.6.bias") + made + pickled.CALL)


def stored_with(**parts):
    """A state_dict whose last tensor is in a storage with hostile parts."""
    identity = {"word": text("storage"), "kind": name("torch.FloatStorage"), "key": text("0")}
    identity |= {"device": text("cpu"), "count": number(1)}
    return tensor_with(storage=row(*(identity | parts).values()) + pickled.OUTSIDE)


def toronto_with(key=None, shape=None, code=None, order=None):
    dtype = name("numpy.dtype") + row(code or pickled.old_text(b"f4"), number(0), number(1))
    dtype += pickled.CALL + row(number(3), order or pickled.old_text(b"<"), b"NNN") + pickled.STATE
    state = (number(1), shape or pickled.numbers([1]), dtype, b"\x89", pickled.old_text(b"abcd"))
    array = name("numpy.core.multiarray._reconstruct") + row() + pickled.CALL
    array += row(*state) + pickled.STATE
    layer = pickled.listed(array, array)
    return pickled.npy(pickled.dictionary([(key or text("conv1"), layer)]))


def checkpoint_with(**settings):
    layer = {"name": text("conv1"), "type": text("conv"), "inputs": pickled.listed(), **settings}
    one = pickled.dictionary((text(key), value) for key, value in layer.items())
    layers = pickled.dictionary([(text("layers"), pickled.listed(one))])
    return program(pickled.dictionary([(text("model_state"), layers)]))


PICKLES = {
    "a key": program(b"}" + bomb() + b"K\x01s"),
    "two equal keys": program(b"}(" + bomb() + b"N" + bomb(61) + b"Nu"),
    "a member of a set": program(b"\x8f(" + bomb() + b"\x90"),
    "a frozen set": program(b"(" + bomb() + b"\x91"),
    "a key of a state_dict": state_dict_with(bomb() + b"N"),
    "a shape": tensor_with(shape=bomb()),
    "two shapes": tensor_with(shape=row(bomb(), bomb(61))),
    "an offset": tensor_with(offset=bomb()),
    "the key of a storage": stored_with(key=bomb()),
    "the type of a storage": stored_with(kind=bomb()),
    "a layer's name for Toronto": toronto_with(key=bomb()),
    "an array's sides": toronto_with(shape=row(bomb(), bomb(61))),
    "an array's type": toronto_with(code=bomb()),
    "an array's byte order": toronto_with(order=bomb()),
    "a layer's name": checkpoint_with(name=bomb()),
    "a layer's type": checkpoint_with(type=bomb()),
    "a layer's inputs": checkpoint_with(inputs=pickled.listed(bomb(), bomb(61))),
    "a layer's filter size": checkpoint_with(filterSize=pickled.listed(bomb(), bomb(61))),
    "a long integer as a key": program(
        b"}(\x8b"
        + struct.pack("<i", 2**18)
        + b"\x7f" * 2**18
        + b"q\x00N"
        + b"h\x00N" * 2**15
        + b"u"
    ),
    "a long call again and again": program(
        b"(" + b"N" * 2**15 + b"tq\x00" + (name("collections.Counter") + b"h\x00R0") * 2**14 + b"N"
    ),
    "a text encoded again and again": pickled.npy(
        text("a" * 2**22)
        + b"q\x00"
        + b"0("
        + (name("_codecs.encode") + b"(h\x00" + text("latin1") + b"tR") * 2**10
        + b"l"
    ),
    "a list in itself": program(pickled.dictionary([(text("a"), b"]q\x00h\x00ah\x00a")])),
    "deep lists": program(b"](" * 20_000 + b"e" * 20_000),
}


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_that_would_take_for_ever_is_refused_or_read_without_that_part(tmp_path, case):
    path = tmp_path / "weights"
    path.write_bytes(PICKLES[case])
    assert len(PICKLES[case]) < 2**23
    refused = contextlib.nullcontext()
    if case != "a key of a state_dict":
        refused = pytest.raises(ValueError, match=str(path))
    with refused:
        alexnet_jax.load(path, architecture=weight_files.TORCHVISION)


def test_a_pickle_has_no_more_operations_than_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(restricted_pickle._Operations, "left", 1000)
    (tmp_path / "weights").write_bytes(program(b"]" * 1000))
    with pytest.raises(ValueError, match="weights: its pickle has more than 2,000,000 operations"):
        alexnet_jax.load(tmp_path / "weights")
