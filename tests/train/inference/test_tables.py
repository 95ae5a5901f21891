"""Errors by class and confused pairs, counted by hand; the tables that show them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from train.config.errors import BadInput
from train.inference import tables
from train.steps.eval_step import EvalResults

NAMES = ("ant", "bee", "[cat]", "dog")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
GUESSES = np.array([0, 1, 1, 2, 1, 0, 0, 2, 0])
TOP5_MISSES = np.array([0, 0, 1, 1, 0, 0, 0, 0, 1], bool)
OUTCOMES = EvalResults(LABELS, GUESSES, np.zeros(9), LABELS != GUESSES, TOP5_MISSES)


def test_errors_of_a_class_are_over_its_own_images():
    rows = tables.by_class(OUTCOMES, NAMES)
    assert [tuple(row.values()) for row in rows] == [
        ("ant", 4, 3 / 4, 2 / 4),
        ("bee", 3, pytest.approx(2 / 3), 0),
        ("[cat]", 2, 1 / 2, 1 / 2),
        ("dog", 0, None, None),
    ]


def test_json_has_null_for_what_is_no_number(tmp_path):
    summary = {"errors": [{"loss": float("nan"), "top1_error": 0.5}], "pair": (1, float("inf"))}
    tables.write(summary, tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "errors": [{"loss": None, "top1_error": 0.5}],
        "pair": [1, None],
    }


def test_confused_pairs_are_sorted_by_frequency_and_then_by_class():
    rows = tables.most_confused(OUTCOMES, NAMES, 3)
    assert [tuple(row.values()) for row in rows] == [
        ("ant", "bee", 2, 2 / 4),
        ("bee", "ant", 2, pytest.approx(2 / 3)),
        ("ant", "[cat]", 1, 1 / 4),
    ]
    assert len(tables.most_confused(OUTCOMES, NAMES, 99)) == 4
    right = OUTCOMES._replace(predictions=LABELS)
    assert tables.most_confused(right, NAMES, 3) == []


def test_a_synset_is_shown_with_the_first_of_its_names():
    words = {"ant": "ant, emmet, pismire"}
    net = SimpleNamespace(source="run", architecture=SimpleNamespace(name="NET"), step=1)
    net.class_names, net.class_descriptions = NAMES, words
    results = tables.summarize([net], [[OUTCOMES]], per_class=True, confusions=1)
    assert [row["class"] for row in results["classes"]] == ["ant ant", *NAMES[1:]]
    assert results["confusions"][0]["class"] == "ant ant"


def test_tables_show_the_figures_that_json_holds(tmp_path, capsys):
    row = {"run": "runs/" + 90 * "x", "net": "DIGITS", "step": 150, "patches": 10}
    results = {
        "images": 12345,
        "errors": [row | {"loss": 0.5, "top1_error": 0.375, "top5_error": 0.17}],
        "classes": tables.by_class(OUTCOMES, NAMES),
        "confusions": tables.most_confused(OUTCOMES, NAMES, 1),
    }
    tables.show(results)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row["run"], "DIGITS", "150", "10", "37.50", "%", "17.00", "%"] in rows
    assert ["12,345", "test", "images"] in rows
    assert ["[cat]", "2", "50.00", "%", "50.00", "%"] in rows
    assert ["ant", "bee", "2", "50.00", "%"] in rows
    tables.write(results, tmp_path / "errors.json")
    assert json.loads((tmp_path / "errors.json").read_text()) == results
    with pytest.raises(BadInput, match=r"`json` .*/nowhere/x\.json cannot be written: No such"):
        tables.write(results, tmp_path / "nowhere" / "x.json")
