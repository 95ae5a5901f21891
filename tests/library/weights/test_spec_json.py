"""Values read from JSON are checked by annotation, and nothing is converted silently."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from alexnet_jax import layer_specs, layer_windows
from alexnet_jax.layer_type import LayerSpec
from alexnet_jax.weights.spec_json import LAYER_TYPES, check_value


@dataclass(frozen=True)
class Inner:
    size: int
    name: str = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rows: tuple[Inner, ...] = ()
    by_name: dict[str, tuple[int, ...]] | None = None


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("3", float, 3),
        ("1e-3", float, 1e-3),
        ("true", bool, True),
        ('"a"', Literal["a", "b"], "a"),
        ("null", int | None, None),
        ("2.5", int | float, 2.5),
        ("null", Optional[Path], None),  # noqa: UP045 - as others may write it
        ('"/data"', Path | None, Path("/data")),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("[]", tuple[int, ...], ()),
        ('[1, "a"]', tuple[int, str], (1, "a")),
        ('["a"]', list[str], ["a"]),
        ('{"a": [1]}', dict[str, tuple[int, ...]], {"a": (1,)}),
        ('{"a": [null]}', Any, {"a": [None]}),
        ('{"inner": {"size": 2}}', Outer, Outer(Inner(2))),
        (
            '{"inner": {"size": 2}, "rows": [{"size": 3, "name": "b"}], "by_name": {"a": [1]}}',
            Outer,
            Outer(Inner(2), (Inner(3, "b"),), {"a": (1,)}),
        ),
    ],
)
def test_a_value_of_the_annotated_type_is_returned_as_that_type(text, annotation, value):
    checked = check_value(json.loads(text), annotation, "it")
    assert checked == value
    assert type(checked) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "message"),
    [
        ("true", int, "it cannot be True"),
        ("false", float, "it cannot be False"),
        ("1", bool, "it cannot be 1"),
        ("1.0", int, "it cannot be 1.0"),
        ("true", Literal[1], "it cannot be True"),
        ("[]", Literal["a"], r"it cannot be \[\]"),
        ("NaN", float, "it cannot be nan"),
        ("-Infinity", float, "it cannot be -inf"),
        ("1" + 400 * "0", float, "it cannot be 1000"),
        ('"3"', int | None, "it cannot be '3'"),
        ("3", Path, "it cannot be 3"),
        ('"abc"', tuple[str, ...], "it cannot be 'abc'"),
        ("[1]", tuple[int, int], r"it cannot be \[1\]"),
        ('["a", 1]', list[str], "it cannot be 1"),
        ('{"a": 1}', dict[str, str], "it cannot be 1"),
        ("[]", dict[str, str], r"it cannot be \[\]"),
        ("[]", Outer, r"Outer cannot be \[\]"),
        ("{}", Outer, "Outer needs its field 'inner'"),
        ('{"inner": {"size": "2"}}', Outer, "Inner.size cannot be '2'"),
        ('{"inner": {"size": 2, "color": 3}}', Outer, "Inner has no field 'color'"),
        ('{"inner": {"size": 2}, "rows": [{}]}', Outer, "Inner needs its field 'size'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(text, annotation, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_value(json.loads(text), annotation, "it")


def test_bounds_hold_at_any_depth():
    bounds = {int: (0, 9), float: (-1, 1)}
    assert check_value([1, 9], tuple[int, ...], "it", bounds) == (1, 9)
    assert check_value(-1, float, "it", bounds) == -1
    for value, annotation in ((-1, int), (10, int | None), (1.5, float), (2, float)):
        with pytest.raises(ValueError, match=f"it cannot be {value}"):
            check_value(value, annotation, "it", bounds)
    with pytest.raises(ValueError, match=r"Inner.size cannot be 10"):
        check_value({"inner": {"size": 10}}, Outer, "it", bounds)


def test_files_have_a_name_for_every_layer_type_of_the_library():
    """And `from alexnet_jax.layer_specs import *` brings it."""
    types = [
        one
        for module in (layer_specs, layer_windows)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, LayerSpec)
    ]
    bases = {base for one in types for base in one.__bases__}
    assert {*LAYER_TYPES.values()} == {*types} - bases
    assert {*layer_specs.__all__} == {*LAYER_TYPES, "LayerSpec"}
