"""A finding from its runs to its report, with runs of a few steps."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

import alexnet_jax
from tests.support.picture_folders import write_classes
from train.config.errors import BadInput, Ended
from train.config.saved import load_config
from train.findings import comparison
from train.findings.ablations import Ablation, Arm
from train.findings.comparison import compare
from train.findings.specialization import first_kernels, initial_kernels
from train.findings.trials import Trials
from train.inference.predictor import open_predictor
from train.trainer.build import load_network_and_data

SHORT = ("--net", "benchmarks.tiny_net:TINY", "--batch-size", 4, "--steps", 2, "--train-images", 18)
ABLATION = Ablation(
    "rates matter",
    arms={
        "low": Arm((*SHORT, "--learning-rate", 1e-5)),
        "high": Arm((*SHORT, "--learning-rate", 1e-4), "low", 1),
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The findings of one training of both arms, and what was printed."""
    root = tmp_path_factory.mktemp("findings")
    write_classes(root / "pictures", count=10)
    return root


@pytest.fixture(scope="module")
def report(folder):
    """The report on both arms, with one seed, trained two at a time."""
    return compare(ABLATION, Trials(folder / "runs", folder / "pictures", (3,), 2))


def test_both_arms_are_trained_tested_and_compared(folder, report, tmp_path):
    low, high = report.rows
    assert low[:2] == ("low", 1)
    assert high[0] == "high"
    for row in report.rows:
        metrics = (folder / "runs" / row[0] / "seed-3" / "metrics.jsonl").read_text().splitlines()
        for name, shown in (("train_top1_error", row[2]), ("test_top1_error", row[4])):
            values = [json.loads(line)[name] for line in metrics if name in line]
            assert shown == f"{100 * values[-1]:.2f}"
        assert row[3] == f"{100 * _training_error(folder / 'runs' / row[0] / 'seed-3'):.2f}"
    assert "this shows nothing" in report.sentence
    written = tmp_path / "new" / "rates"
    report.write(written, "python -m train.findings rates --data pictures --seeds 3")
    assert (written / "figure.png").stat().st_size > 5000
    assert json.loads((written / "report.json").read_text())["rows"][0][0] == "low"
    text = (written / "report.md").read_text()
    assert text.startswith("`python -m train.findings rates --data pictures --seeds 3`\n\n")
    assert text.count("\n| ") == 4  # with the head and the line below


def _training_error(run):
    """The share of the training images whose center crop a run takes for another class."""
    net, data = open_predictor(run), load_network_and_data(load_config(run))[1].train
    mean, wrong = np.load(run / "mean.npy"), 0
    edge = (len(mean) - net.architecture.image_sizes[0]) // 2
    for index in range(len(data)):
        example = data[index]
        image = (example["image"] - mean)[edge : len(mean) - edge, edge : len(mean) - edge]
        [logits] = alexnet_jax.apply(net.params, image[None], architecture=net.architecture)
        wrong += int(np.argmax(logits) != example["label"])
    return wrong / len(data)


def test_what_is_finished_is_not_trained_again(folder, report, capsys):
    run = folder / "runs" / "low" / "seed-3"
    before = (run / "metrics.jsonl").stat().st_mtime_ns
    again = compare(ABLATION, Trials(folder / "runs", folder / "pictures", (3,), 1))
    assert again.rows == report.rows
    assert (run / "metrics.jsonl").stat().st_mtime_ns == before
    assert "2 of 2 runs are over" in capsys.readouterr().out


def test_a_finding_goes_on_where_its_data_have_moved(folder, report, tmp_path, capsys):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    for record in (tmp_path / "runs").rglob("config.json"):
        record.write_text(record.read_text().replace(f"{folder}/pictures", f"{tmp_path}/gone"))
    for kept in (tmp_path / "runs").rglob("*_misses_*.npy"):
        kept.unlink()
    again = compare(ABLATION, Trials(tmp_path / "runs", folder / "pictures", (3,), 1))
    assert again.rows == report.rows
    printed = capsys.readouterr()
    assert "2 of 2 runs are over" in printed.out
    assert f"low/seed-3 learned from {tmp_path}/gone; its data are in {folder}/pict" in printed.out
    assert "began with" not in printed.out + printed.err
    write_classes(tmp_path / "others", 10, ("x", "y"))
    with pytest.raises(BadInput, match="holds a run on other data, whose classes have other names"):
        compare(ABLATION, Trials(tmp_path / "runs", tmp_path / "others", (3,), 1))
    (tmp_path / "gone").mkdir()
    with pytest.raises(BadInput, match=f"holds a run on {tmp_path}/gone, not on {folder}/pictures"):
        compare(ABLATION, Trials(tmp_path / "runs", folder / "pictures", (3,), 1))


def test_misses_that_are_damaged_are_found_again(folder, report):
    for text in (b"", b"no array"):
        kept = [*(folder / "runs").rglob("*_misses_*.npy")]
        assert len(kept) == 4  # test and training images of two arms
        for file in kept:
            file.write_bytes(text)
        again = compare(ABLATION, Trials(folder / "runs", folder / "pictures", (3,), 1))
        assert again.rows == report.rows


def test_kernels_begin_as_the_seed_of_their_run_draws_them(folder, report):
    trials = Trials(folder / "runs", folder / "pictures", (3,), 1)
    [low] = trials.train({"low": ABLATION.arms["low"].flags})["low"]
    start = initial_kernels(low)
    # Two steps at a learning rate of 1e-5 leave them nearly where they were.
    np.testing.assert_allclose(first_kernels(low), start, atol=0.02 * np.abs(start).max())
    assert 0.015 < start.std() < 0.025  # N(0, 0.02): 600 values


def _misses(*counts):
    """Misses of runs that get these numbers of 1,000 images wrong."""
    return [{1: np.arange(1000) < count} for count in counts]


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ((150, 151, 152), "5.0 points worse"),
        ((50, 51, 49), "5.1 points better"),
        # The deviations are 1 and 2: an interval of about 4, in tenths of a point.
        ((101, 99, 103), r"no difference is resolved .*and the paper's \+1 points lie outside"),
        (
            (60, 140, 101),
            r"no difference is resolved .*the paper's \+1 points would need about \d+",
        ),
        ((100,), "shows nothing"),
    ],
)
def test_the_sentence_says_what_the_seeds_can_and_cannot_tell(errors, words):
    base = (100, 101, 102)[: len(errors)]
    misses = {"low": _misses(*base), "high": _misses(*errors)}
    assert re.search(words, comparison.sentence(ABLATION, "high", misses))


def test_an_arm_without_a_figure_in_the_paper_is_held_against_none():
    misses = {"low": _misses(100, 101, 102), "high": _misses(101, 99, 103)}
    arms = ABLATION.arms
    unnamed = dataclasses.replace(
        ABLATION, arms={**arms, "high": dataclasses.replace(arms["high"], effect=None)}
    )
    assert comparison.sentence(unnamed, "high", misses).endswith("(95 % interval -0.4 to +0.4).")


def test_arms_are_not_compared_without_the_runs_that_diverged(folder, report, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / "high" / "seed-3"
    (run / "diverged.json").write_text('{"step": 2}')
    trials = Trials(tmp_path / "runs", folder / "pictures", (3,), 1)
    with pytest.raises(Ended, match=f"cannot be compared: {run}$"):
        compare(ABLATION, trials)
    [high] = trials.train({"high": ABLATION.arms["high"].flags}, may_diverge=True)["high"]
    assert high.summary.diverged
