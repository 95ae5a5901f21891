"""A loss that stays near ln(classes) is reported once, with its likely causes."""

import math

import numpy as np
import pytest

from benchmarks.tiny_net import TINY
from tests.train.data.test_idx import write_idx
from train.config.config import Config
from train.trainer.loss_monitor import ChanceLevelMonitor
from train.trainer.train import train


def collect_warnings(losses, classes=10, steps_per_epoch=300):
    monitor = ChanceLevelMonitor(classes, steps_per_epoch)
    messages = [(step, monitor.check(loss)) for step, loss in enumerate(losses, 1)]
    return [(step, text) for step, text in messages if text]


def test_a_loss_at_chance_level_is_reported_once_with_its_causes(rng):
    noise = 0.1 * rng.normal(size=2000)
    [(step, text)] = collect_warnings(math.log(10) + noise)
    assert step == 300
    assert "guessing among 10 classes gives ln(10) = 2.303" in text
    for cause in ("learning rate", "biases", "scale of the input", "labels"):
        assert cause in text


@pytest.mark.parametrize("start", [math.log(10), 5.0])
def test_a_loss_that_falls_or_rises_is_no_plateau(start):
    assert not collect_warnings([start * 0.998**step for step in range(1, 900)])
    assert not collect_warnings([start * 1.002**step for step in range(300)])


def test_a_later_plateau_is_reported_too_and_short_epochs_are_joined():
    assert [step for step, _ in collect_warnings([0.5] * 300 + [math.log(10)] * 600)] == [600]
    assert [step for step, _ in collect_warnings([math.log(7)] * 900, 7, steps_per_epoch=3)] == [
        200
    ]
    assert [step for step, _ in collect_warnings([math.log(1000)] * 9000, 1000, 10_009)] == [2000]


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_run_on_shuffled_labels_warns_and_one_on_the_right_ones_does_not(
    tmp_path, rng, capsys, shuffled
):
    labels = rng.integers(0, 4, 600).astype(np.uint8)
    images = rng.integers(0, 99, (600, 28, 28)).astype(np.uint8) + 50 * labels[:, None, None]
    if shuffled:
        rng.shuffle(labels)
    for split, part in {"train": slice(500), "t10k": slice(500, 600)}.items():
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", images[part].astype(np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", labels[part])
    run = Config().replace(data=tmp_path, net=TINY, batch_size=8, steps=210, epochs=99)
    train(run.replace(run_dir=tmp_path / "run"))
    assert ("warning: over the last 200 steps the loss was 1.4" in capsys.readouterr().out) is (
        shuffled
    )
