"""Groups of runs that differ in their seed alone: their names, means, deviations and test."""

import json
import math
import statistics

import numpy as np
import pytest
import scipy.stats

from tests.support.recorded_runs import write_run
from train import runs
from train.config.saved import load_config
from train.run_dir.groups import group_runs
from train.run_dir.seed_means import SeedMean, seed_mean, welch

LOW, HIGH = (0.10, 0.12, 0.11), (0.13, 0.16)
"""Test errors of the seeds of two recipes."""


def write_two_recipes(folder, **second):
    """Write a group of three runs and one of two, which has other values."""
    second = second or {"learning_rate": 0.5}
    for seed, error in enumerate(LOW):
        write_run(folder / "a" / f"seed-{seed}", seed=seed, test=error, shift=seed / 100)
    for seed, error in enumerate(HIGH):
        write_run(folder / "b" / f"seed-{seed}", seed=seed, test=error, **second)
    return folder


def table(folder, out):
    runs.main([str(folder), "--json", str(out)])
    return json.loads(out.read_text())["groups"]


def t_test(a, b):
    """The two-sided p of Welch's test, by his formula and an integral of Student's density."""
    errors = [statistics.variance(x) / len(x) for x in (a, b)]
    t = abs(statistics.mean(a) - statistics.mean(b)) / math.sqrt(sum(errors))
    freedom = sum(errors) ** 2 / sum(e**2 / (len(x) - 1) for e, x in zip(errors, (a, b)))
    # With t = sqrt(freedom) tan(angle), the density is a power of the cosine.
    angles = np.linspace([0, math.atan(t / math.sqrt(freedom))], math.pi / 2, 100_001)
    whole, tail = np.trapezoid(np.cos(angles) ** (freedom - 1), angles, axis=0)
    return tail / whole


def test_a_group_has_the_mean_and_the_deviation_of_its_seeds(tmp_path, capsys):
    first, second = table(write_two_recipes(tmp_path), tmp_path / "x.json")
    assert first == {
        "group": "learning_rate 0.01",
        "runs": ["a/seed-0", "a/seed-1", "a/seed-2"],
        "seeds": [0, 1, 2],
        "validation": {"mean": pytest.approx(0.51), "std": pytest.approx(0.01)},
        "test": {"mean": pytest.approx(0.11), "std": pytest.approx(0.01)},
        "difference": None,
        "from": None,
        "p": None,
    }
    assert second["test"] == {"mean": pytest.approx(0.145), "std": pytest.approx(0.03 / 2**0.5)}
    assert (second["difference"], second["from"]) == (pytest.approx(0.035), first["group"])
    assert second["p"] == pytest.approx(t_test(LOW, HIGH), rel=1e-6)
    printed = capsys.readouterr().out
    for text in ("0 1 2", "11.00 ± 1.00 %", "14.50 ± 2.12 %", "+3.50 points", f"{second['p']:.3f}"):
        assert text in printed


def test_the_p_of_welchs_test_is_that_of_a_published_example():
    # Example 1 of Wikipedia's article on the test: t = -2.46, 25.0 degrees of freedom, p = 0.021.
    a = "27.5 21.0 19.0 23.6 17.0 17.9 16.9 20.1 21.9 22.6 23.1 19.6 19.0 21.7 21.4"
    b = "27.1 22.0 20.8 23.4 23.4 23.5 25.8 22.0 24.8 20.2 21.9 22.1 22.9 20.5 24.4"
    a, b = ([float(number) for number in text.split()] for text in (a, b))
    result = welch(seed_mean(a), seed_mean(b))
    assert result is not None
    assert result.p == pytest.approx(0.021, abs=5e-4)
    assert t_test(a, b) == pytest.approx(0.021, abs=5e-4)
    # 25.0 degrees of freedom: tables have a 97.5 % quantile of 2.060.
    assert result.high - result.mean == pytest.approx(2.060 * abs(result.mean) / 2.46, rel=2e-3)
    assert result.mean - result.low == pytest.approx(result.high - result.mean)
    assert result.is_resolved


def test_the_interval_of_welchs_test_equals_scipys():
    ours = welch(seed_mean(LOW), seed_mean(HIGH))
    theirs = scipy.stats.ttest_ind(LOW, HIGH, equal_var=False).confidence_interval(0.95)
    assert ours is not None
    np.testing.assert_allclose((ours.low, ours.high), (theirs.low, theirs.high))
    assert not ours.is_resolved


@pytest.mark.parametrize("errors", [(0.1, 0.1), (0.2, 0.1)])
def test_groups_without_any_deviation_have_no_test(errors):
    assert welch(*(SeedMean(error, 0.0, 3) for error in errors)) is None


def test_a_group_of_one_seed_has_no_deviation_and_no_test(tmp_path, capsys):
    write_two_recipes(tmp_path)
    write_run(tmp_path / "c", learning_rate=0.2, test=0.2)
    *_, alone = table(tmp_path, tmp_path / "x.json")
    assert alone["test"] == {"mean": 0.2, "std": None}
    assert (alone["difference"], alone["p"]) == (pytest.approx(0.09), None)
    assert "20.00 % " in capsys.readouterr().out


def test_runs_of_one_seed_each_have_no_second_table(tmp_path, capsys):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", learning_rate=0.2)
    runs.main([str(tmp_path)])
    assert "group" not in capsys.readouterr().out


def test_only_runs_on_the_same_data_are_compared(tmp_path):
    write_two_recipes(tmp_path, data=tmp_path / "flowers")
    write_run(tmp_path / "c", seed=7, data=tmp_path / "flowers", flip=True)
    digits, flowers, flipped = table(tmp_path, tmp_path / "x.json")
    assert digits["from"] is flowers["from"] is None
    assert flipped["from"] == flowers["group"] != digits["group"]


def test_runs_of_the_same_seed_count_once(tmp_path):
    for name, seed, error in (("a", 0, 0.1), ("again", 0, 0.3), ("b", 1, 0.4)):
        write_run(tmp_path / name, seed=seed, test=error, devices=1 + (name == "again"))
    [group] = table(tmp_path, tmp_path / "x.json")
    assert (group["seeds"], len(group["runs"])) == ([0, 1], 3)
    assert group["test"] == {"mean": pytest.approx(0.3), "std": pytest.approx(0.2 / 2**0.5)}


def test_an_unfinished_run_is_in_no_group_and_named(tmp_path, capsys):
    write_two_recipes(tmp_path)
    write_run(tmp_path / "a" / "seed-9", seed=9, test=None)
    assert table(tmp_path, tmp_path / "x.json")[0]["seeds"] == [0, 1, 2]
    note = "in no group, as they are not finished: a/seed-9\n"
    assert capsys.readouterr().out.endswith(note)


@pytest.mark.parametrize(("steps", "finished"), [(20, True), (21, False), (None, False)])
def test_a_run_without_validation_images_is_finished_at_its_last_step(tmp_path, steps, finished):
    folder = write_run(tmp_path / "run", steps=steps)
    metrics = folder / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("val_", "other_"))
    assert [len(group["runs"]) for group in table(folder, tmp_path / "x.json")] == [1] * finished


@pytest.mark.parametrize("speed", [1e-20, 1e-310])
def test_a_damaged_speed_does_not_hide_the_other_runs(tmp_path, capsys, speed):
    write_run(tmp_path / "whole-run")
    damaged = write_run(tmp_path / "damaged-run", seed=1)
    row = {"step": 20, "loss": 1.0, "images_per_second": speed, "epoch": 2.0}
    with (damaged / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    runs.main([str(tmp_path)])
    shown = capsys.readouterr().out
    assert "whole-run" in shown
    assert "damaged-run" in shown


def label(*folders):
    return [group.label for group in group_runs({path: load_config(path) for path in folders})]


def test_a_group_without_a_short_name_is_called_after_its_folder(tmp_path):
    many = {"momentum": 0.8, "flip": True, "mean": "channel", "patience": 2}
    write_two_recipes(tmp_path, **many)
    a = [tmp_path / "a" / f"seed-{seed}" for seed in range(3)]
    b = [tmp_path / "b" / f"seed-{seed}" for seed in range(2)]
    assert [name.rpartition(", ")[2] for name in label(*a, *b)] == ["a", "b"]
    assert label(*a) == ["a"]
    beside = write_run(tmp_path / "a" / "other", **many)
    names = [name.rpartition(", ")[2] for name in label(*a, beside)]
    assert names == ["seed-0", "other"]
