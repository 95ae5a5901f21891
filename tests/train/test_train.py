"""`train()` from Python, with a user's data source and callbacks."""

import jax
import numpy as np
import pytest

from benchmarks.tiny_net import TINY
from train.config.config import Config
from train.config.errors import BadInput
from train.data.examples import DataSet
from train.run_dir.metrics import read_metrics
from train.trainer.train import train


class Stripes:
    """Two classes, stripes across and down; an image depends on its index alone."""

    def __init__(self, count, size=28, dtype=np.uint8):
        self.count, self.size, self.dtype = count, size, dtype

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 60, (self.size, self.size, 3))
        image[:: 2 + index % 3] += 150
        return {
            "image": (image if index % 2 else image.transpose(1, 0, 2)).astype(self.dtype),
            "label": index % 2,
        }


DATA = DataSet(train=Stripes(64), test=Stripes(32), class_names=("across", "down"))
CONFIG = Config().replace(net=TINY, batch_size=16, epochs=4, cut_epochs=())


def test_train_takes_a_users_source_and_callbacks_get_the_logged_metrics(tmp_path):
    config = CONFIG.replace(run_dir=tmp_path / "run")
    steps, epochs = [], []
    results = train(
        config,
        DATA,
        on_step=lambda step, metrics: steps.append((step, metrics)),
        on_epoch=lambda epoch, metrics: epochs.append((epoch, metrics)),
    )
    rows = read_metrics(tmp_path / "run")
    assert [step for step, _ in steps] == [*range(1, 17)]
    for (step, metrics), row in zip(steps, [row for row in rows if "loss" in row]):
        assert row == pytest.approx({"step": step} | metrics, rel=1e-5)
    assert [epoch for epoch, _ in epochs] == [1, 2, 3, 4]
    assert epochs[-1][1] == results
    tests = [row for row in rows if "test_loss" in row]
    assert [row["test_loss"] for row in tests] == pytest.approx(
        [metrics["test_loss"] for _, metrics in epochs], rel=1e-5
    )


@pytest.mark.parametrize(
    ("callback", "number", "last"),
    [
        # on_step is called while the next two steps run; the run ends after those.
        ("on_step", 5, 7),
        ("on_step", np.int64(5), 7),  # compared, it gives a bool of NumPy
        ("on_epoch", 2, 8),
    ],
)
def test_a_callback_stops_a_run_which_is_evaluated_saved_and_resumed(
    tmp_path, callback, number, last
):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(CONFIG.replace(run_dir=straight), DATA)
    stop = {callback: lambda n, metrics: n == number}
    results = train(CONFIG.replace(run_dir=stopped), DATA, **stop)
    rows = read_metrics(stopped)
    assert rows[-1]["step"] == last
    assert rows[-1]["test_loss"] == pytest.approx(results["test_loss"], rel=1e-5)
    assert (stopped / "checkpoints" / str(last)).is_dir()
    train(CONFIG.replace(run_dir=stopped, resume=True), DATA)
    losses = [
        [(row["step"], row["loss"]) for row in read_metrics(run) if "loss" in row]
        for run in (straight, stopped)
    ]
    assert losses[0] == losses[1]


def test_a_callback_stops_a_run_at_a_step_that_is_saved_and_not_evaluated(tmp_path):
    config = CONFIG.replace(run_dir=tmp_path / "run", save_steps=3)
    results = train(config, DATA, on_step=lambda step, metrics: step == 3)
    rows = read_metrics(tmp_path / "run")
    assert rows[-1]["step"] == 3
    assert rows[-1]["test_loss"] == pytest.approx(results["test_loss"], rel=1e-5)
    assert (tmp_path / "run" / "checkpoints" / "3").is_dir()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Stripes(0), "the train source holds no examples"),
        (Stripes(64, size=27), r"the image of train example 0 should be uint8 \[28, 28, 3\]"),
        (Stripes(64, dtype=np.float32), "should be uint8 .*, not float32"),
        (["cat.jpg"], "train example 0 should be a dict with an image and a label"),
    ],
)
def test_an_invalid_source_is_refused_in_one_sentence(tmp_path, source, words):
    data = DataSet(train=source, test=Stripes(32), class_names=("across", "down"))
    with pytest.raises(BadInput, match=words):
        train(CONFIG.replace(run_dir=tmp_path / "run"), data)
    assert not (tmp_path / "run").exists()


class Lost(Stripes):
    """Raises an error at one image, once the run has begun."""

    error = None

    def __getitem__(self, index):
        if index == 7 and self.error is not None:
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize("error", [BadInput("the disk is gone"), KeyError("lost")])
def test_an_error_in_an_evaluation_costs_no_step(tmp_path, error):
    """Errors of a user's own source or callback, too."""
    test, run_dir = Lost(32), tmp_path / "run"
    data = DataSet(train=DATA.train, test=test, class_names=DATA.class_names)

    def lose(step, metrics):
        test.error = error if step == 7 else test.error

    with pytest.raises(type(error), match=str(error)):
        train(CONFIG.replace(run_dir=run_dir), data, on_step=lose)
    assert {path.name for path in (run_dir / "checkpoints").iterdir()} == {"4", "8"}


def test_labels_of_no_class_are_no_divergence(tmp_path):
    data = DataSet(train=Stripes(64), test=Stripes(32), class_names=("across",))
    with pytest.raises(
        BadInput, match=r"the label of train example \d+ should be an int from 0 to 0"
    ):
        train(CONFIG.replace(run_dir=tmp_path / "run"), data)


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({"plan": True}, DATA, "`plan` trains nothing"),
        ({}, (DATA.train, DATA.test), "`data` should be a DataSet, not tuple"),
    ],
)
def test_what_train_does_not_do_is_refused(tmp_path, changes, data, words):
    with pytest.raises(BadInput, match=words):
        train(CONFIG.replace(run_dir=tmp_path / "run", **changes), data)


def test_a_value_of_another_type_is_refused_by_its_name():
    with pytest.raises(BadInput, match="`steps` must be above 0, not 3"):
        Config().replace(steps="3")


def test_what_a_run_draws_does_not_depend_on_the_default_kind_of_key(tmp_path):
    short = CONFIG.replace(steps=3, pca_color="paper", flip=True)
    results = [train(short.replace(run_dir=tmp_path / "threefry"), DATA)]
    with jax.default_prng_impl("rbg"):
        results.append(train(short.replace(run_dir=tmp_path / "rbg"), DATA))
    assert results[0] == results[1]
