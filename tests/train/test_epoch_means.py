"""The training loss and error of an epoch, and how a run with a validation part reports."""

import dataclasses

import numpy as np
import pytest

from tests.train.test_train import CONFIG, DATA, Stripes
from train.config.errors import BadInput
from train.data.examples import DataSet
from train.run_dir.metrics import read_metrics
from train.trainer.epoch_means import EpochMeans, first_step
from train.trainer.train import train

VAL = {"val_loss", "val_top1_error", "val_top5_error"}
TEST = {"test_loss", "test_top1_error", "test_top5_error"}
TRAIN = {"train_loss", "train_top1_error"}


def test_the_means_are_over_the_steps_since_the_last_take():
    means = EpochMeans([{"loss": 4.0, "top1_error": 1.0}, {"test_loss": 9.0}])
    for loss, error in ((2.0, 0.5), (3.0, 0.0)):
        means.add({"loss": loss, "top1_error": error, "learning_rate": 0.1})
    assert means.take() == {"train_loss": 3.0, "train_top1_error": 0.5}
    assert means.take() == {}
    means.add({"loss": 1.0, "top1_error": 0.25})
    assert means.take() == {"train_loss": 1.0, "train_top1_error": 0.25}


@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_an_epoch_begins_after_the_step_whose_batch_ends_the_one_before(batch):
    images, first = 16, 1
    for step in range(1, 40):
        if step * batch // images > (step - 1) * batch // images:  # it ends an epoch
            first = step + 1
        assert first_step(step, batch, images) == first


def epochs_of(run_dir, data=DATA, **settings):
    epochs = []
    config = CONFIG.replace(run_dir=run_dir, **settings)
    results = train(config, data, on_epoch=lambda _, metrics: epochs.append(metrics))
    return epochs, results


def test_epochs_are_validated_and_the_test_images_looked_at_once(tmp_path, capsys):
    class Counted(Stripes):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    test = Counted(32)
    data = dataclasses.replace(DATA, test=test, val=Stripes(24))
    epochs, results = epochs_of(tmp_path / "run", data, epochs=3)
    assert test.reads <= 32 + 2  # the shape of its images is asked for, too
    assert [metrics.keys() for metrics in epochs] == [TRAIN | VAL] * 3
    assert results.keys() == TRAIN | VAL | TEST
    rows = read_metrics(tmp_path / "run")
    for number, metrics in enumerate(epochs):
        steps = [
            row for row in rows if "loss" in row and 4 * number < row["step"] <= 4 * number + 4
        ]
        for name in ("loss", "top1_error"):
            mean = np.mean([row[name] for row in steps])
            assert metrics[f"train_{name}"] == pytest.approx(mean, rel=1e-6)
    [row] = [row for row in rows if "test_loss" in row]
    assert row == pytest.approx({"step": 12} | {name: results[name] for name in TEST}, rel=1e-5)
    lines = capsys.readouterr().out.splitlines()
    [line] = [line for line in lines if line.startswith("epoch 2")]
    train_accuracy, accuracy = (
        100 * (1 - epochs[1][f"{part}_top1_error"]) for part in ("train", "val")
    )
    assert line == (
        f"epoch 2  training loss {epochs[1]['train_loss']:.4f}  accuracy {train_accuracy:.2f} %  "
        f"validation loss {epochs[1]['val_loss']:.4f}  accuracy {accuracy:.2f} %"
    )
    assert any("(lowest validation error: step" in line for line in lines)


def test_a_run_without_validation_looks_at_the_test_images_after_each_epoch(tmp_path, capsys):
    epochs, results = epochs_of(tmp_path / "run", epochs=2)
    assert [metrics.keys() for metrics in epochs] == [TRAIN | TEST] * 2
    assert results == epochs[-1]
    out = capsys.readouterr().out
    assert "validation: none; the 32 test images choose the best checkpoint, too" in out
    assert "epoch 1  training loss" in out
    assert "(lowest test error: step" in out


def test_validation_images_that_are_the_test_images_are_read_once(tmp_path):
    data = dataclasses.replace(DATA, val=DATA.test)
    epochs, results = epochs_of(tmp_path / "run", data, epochs=2)
    assert [metrics.keys() for metrics in epochs] == [TRAIN | VAL] * 2
    assert [results[name.replace("val", "test")] for name in VAL] == [results[name] for name in VAL]


def test_a_stopped_run_resumes_with_the_same_validation_images_and_means(tmp_path):
    straight, _ = epochs_of(tmp_path / "straight", validation=0.25, steps=12)
    stopped = CONFIG.replace(run_dir=tmp_path / "stopped", validation=0.25, steps=12, save_steps=1)
    train(stopped, DATA, on_step=lambda step, _: step == 4)
    resumed, _ = epochs_of(tmp_path / "stopped", steps=12, resume=True)
    assert len(straight) == 4  # of 48 images: 3 steps each
    assert resumed == straight[-len(resumed) :]
    assert len(resumed) == 3
    with pytest.raises(BadInput, match=r"holds a run with `validation` 0\.25, not 0\.5"):
        epochs_of(tmp_path / "stopped", steps=13, resume=True, validation=0.5)
    other = DataSet(DATA.train, DATA.test, DATA.class_names, val=Stripes(8))
    with pytest.raises(BadInput, match="that validates on images taken from the training part; w"):
        epochs_of(tmp_path / "stopped", other, steps=13, resume=True)


def test_the_validation_error_divides_the_learning_rate_and_chooses_the_best(tmp_path, monkeypatch):
    from train.steps.eval_step import EvalResults
    from train.trainer import recorder

    errors = iter([0.5, 0.25, 0.75, 0.75, 0.75])  # on validation; of test images, one at the end
    results = (EvalResults(*[np.array([error])] * 5) for error in errors)
    monkeypatch.setattr(recorder, "evaluate", lambda *_: [[next(results)]])
    settings = {"schedule": "plateau", "patience": 2, "epochs": 4, "save_steps": 1}
    data = dataclasses.replace(DATA, val=Stripes(8))
    train(CONFIG.replace(run_dir=tmp_path / "run", **settings), data)
    rates = [row["learning_rate"] for row in read_metrics(tmp_path / "run") if "loss" in row]
    assert rates == pytest.approx([0.01] * 16)  # the second epoch without a fall is the last
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"8", "15", "16"}
