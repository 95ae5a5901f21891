"""A loss that is not finite stops the run, names step and batch, and keeps good checkpoints."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.tiny_net import TINY
from train.config.config import Config
from train.config.errors import Ended
from train.data.pipeline import example_indices, train_batches
from train.run_dir.checkpoints import Checkpoints
from train.steps.eval_step import EvalResults
from train.trainer import recorder
from train.trainer.train import train


class Numbered:
    """Twenty examples, each labeled with its index."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return {"image": np.zeros((1, 1, 3), np.uint8), "label": index}


def test_example_indices_are_those_of_the_pipelines_batches():
    batches = train_batches(Numbered(), batch_size=7, seed=5, position=0, threads=1, prefetch=1)
    for number in range(9):  # across the ends of three epochs
        indices = example_indices(20, seed=5, numbers=range(7 * number, 7 * number + 7))
        np.testing.assert_array_equal(indices, next(batches)["label"])
    batches.close()


@pytest.fixture
def pictures(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(4):
                picture = Image.new("RGB", (24, 24), (60 * i, 90, 99 * (name == "b")))
                picture.save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def config(pictures, **settings):
    run_dir = pictures / "run"
    values = {"data": pictures, "net": TINY, "batch_size": 4, "stored_size": 24, "validation": 0}
    return Config().replace(run_dir=run_dir, **values | settings)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_batch(pictures):
    good = config(pictures, steps=4)
    train(good)
    with Checkpoints(good.launch.run_dir, read_only=True) as checkpoints:
        best = checkpoints.find("best")
    saved = json.loads((good.launch.run_dir / "config.json").read_text())
    saved["config"]["learning_rate"] = 1e30  # no flag can change it on --resume
    (good.launch.run_dir / "config.json").write_text(json.dumps(saved))
    bad = config(pictures, steps=40, resume=True, learning_rate=1e30)
    with pytest.raises(Ended) as stopped:
        train(bad)
    assert stopped.value.status == 1
    record = json.loads((good.launch.run_dir / "diverged.json").read_text())
    step = record["step"]
    assert f"{record['what']}, of batch {step - 1}, whose images are listed in" in str(
        stopped.value
    )
    assert f"the last good checkpoint is {good.launch.run_dir}/checkpoints/" in str(stopped.value)
    indices = example_indices(8, seed=0, numbers=range(4 * step - 4, 4 * step))
    names = [f"train/{'ab'[i // 4]}/{i % 4}.png" for i in indices]
    assert [example["name"] for example in record["examples"]] == names
    with Checkpoints(good.launch.run_dir, read_only=True) as checkpoints:
        assert checkpoints.find("best") == best


@pytest.mark.parametrize(("validation", "part"), [(0, "test"), (0.25, "validation")])
def test_a_held_out_loss_that_is_not_finite_stops_the_run_and_makes_no_checkpoint(
    pictures, monkeypatch, validation, part
):
    infinite = EvalResults(*[np.array([np.inf])] * 5)
    monkeypatch.setattr(recorder, "evaluate", lambda *_: [[infinite]])
    stopped = f"stopped: the {part} loss is inf after step 2, of batch 1"
    with pytest.raises(Ended, match=stopped):
        train(config(pictures, steps=4, validation=validation))
    assert not list((pictures / "run" / "checkpoints").iterdir())
