"""Weights of a run's folder: those of the best checkpoint, with the run's preprocessing."""

import dataclasses
import re
import shutil

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import architectures, weights
from alexnet_jax.weights.readers import run_folder
from tests.support.tiny import TINY, draw_params, narrow
from train.config import saved
from train.config.config import Config
from train.inference.predictor import open_predictor
from train.run_dir.checkpoints import Checkpoints
from train.steps.optimizers import sgd
from train.steps.train_step import init_state

NAMES = tuple("abcdefg")


def make_run(path, net, by_step):
    """Make a run's folder as `train.main` does, from {step: (parameters, test error)}."""
    path.mkdir()
    record = {"data": {"class_names": list(NAMES)}}
    size = net.image_sizes[0] + 4
    saved.save_config(Config().replace(net=net.name, run_dir=path, stored_size=size), record)
    mean = np.random.default_rng(3).uniform(90, 140, (size, size, 3)).astype("f4")
    np.save(path / "mean.npy", mean)
    shapes = jax.eval_shape(lambda: init_state(jax.random.key(0), net, sgd()))
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    with Checkpoints(path) as checkpoints:
        for step, (params, error) in by_step.items():
            state = dataclasses.replace(empty, step=np.int32(step), params=params)
            checkpoints.save(state, step, None if error is None else {"top1_error": error})
            checkpoints.wait()
    return path


def scale(factor, params):
    return jax.tree.map(lambda leaf: factor * leaf, params)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of DIGITS with three checkpoints, of which the second is the best."""
    net = architectures.DIGITS.with_classes(len(NAMES))
    params = draw_params(net)
    steps = {4: (scale(2.0, params), 0.5), 8: (params, 0.1), 12: (scale(3.0, params), 0.2)}
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return make_run(folder, net, steps)


def test_the_logits_are_those_of_the_runs_own_predictor(digits, rng):
    params, net, preprocessing = alexnet_jax.load(digits)
    assert weights.read(digits).class_names == NAMES
    assert net == architectures.DIGITS.with_classes(7)
    size = preprocessing.stored_size
    pictures = rng.integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    theirs = open_predictor(digits).eval_step()(pictures)[:, 0]
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=net))
    np.testing.assert_allclose(apply(params, preprocessing(pictures)), theirs, rtol=1e-5, atol=1e-4)
    assert (preprocessing.resize, preprocessing.interpolation) == ("shorter side", "cubic")


def test_running_statistics_are_loaded_with_the_weights(tmp_path, monkeypatch):
    net = narrow(architectures.BATCH_NORM)
    params = draw_params(net)
    monkeypatch.setattr(run_folder, "by_name", lambda name: net)
    loaded, *_ = alexnet_jax.load(make_run(tmp_path / "run", net, {3: (params, None)}))
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), loaded, params))


def test_a_damaged_best_checkpoint_is_skipped_with_a_note_and_the_next_best_taken(
    digits, tmp_path, capsys
):
    run = shutil.copytree(digits, tmp_path / "run")
    best = run / "checkpoints" / "8"
    factors = {8: 1.0, 12: 3.0}  # of the parameters in each checkpoint

    def assert_loads(step, *notes):
        params, net, _ = alexnet_jax.load(run)
        expected = scale(factors[step], draw_params(net))
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(notes)
        for line, note in zip(lines, notes, strict=True):
            assert re.fullmatch(f"note: checkpoint {run}/checkpoints/{note}", line)
        assert open_predictor(run).step == step  # one policy for the library and the commands
        assert len(capsys.readouterr().err.splitlines()) == len(notes)

    assert_loads(8)
    files = [path for path in best.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    numbers = bytearray(largest.read_bytes())
    numbers[-9] ^= 1  # one bit, which Orbax does not notice
    largest.write_bytes(numbers)
    assert_loads(12, f"8 is skipped: its .*{largest.name} is not what was written")
    largest.unlink()
    assert_loads(12, f"8 is skipped: its .*{largest.name} is missing")
    (best / "digests.json").unlink()
    assert_loads(12, "8 is skipped: it has no digests.json")


def test_the_latest_checkpoint_is_taken_where_none_was_evaluated(tmp_path):
    net = architectures.DIGITS.with_classes(len(NAMES))
    params = draw_params(net)
    run = make_run(tmp_path / "run", net, {3: (scale(2.0, params), None), 5: (params, None)})
    loaded, *_ = alexnet_jax.load(run)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), loaded, params))


def test_a_folder_without_a_complete_run_is_refused(digits, tmp_path):
    def assert_refused(match, **arguments):
        with pytest.raises(ValueError, match=f"{tmp_path}/run(:| is damaged:) .*{match}") as caught:
            alexnet_jax.load(tmp_path / "run", **arguments)
        assert "\n" not in str(caught.value)

    (tmp_path / "run").mkdir()
    assert_refused("it holds no run, for there is no config.json in it")
    shutil.copytree(digits, tmp_path / "run", dirs_exist_ok=True)
    assert_refused("it holds DIGITS, which differs from TINY", architecture=TINY)
    assert_refused("none of Caffe's weights", mean=tmp_path / "run" / "mean.npy")
    (tmp_path / "run" / "mean.npy").write_bytes(b"\x93NUMPY\x01")
    assert_refused("")
    shutil.copy(digits / "mean.npy", tmp_path / "run" / "mean.npy")
    for step in (8, 12):
        (tmp_path / "run" / "checkpoints" / str(step) / "digests.json").unlink()
    assert_refused("it holds no undamaged checkpoint")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert_refused("it holds no checkpoint yet")
    text = (digits / "config.json").read_text()
    for other in ("{", "[]", text.replace('"DIGITS"', '"NONE"'), text.replace('"a"', "1")):
        (tmp_path / "run" / "config.json").write_text(other)
        assert_refused("config.json (cannot be read|is not that of a run)|no net named 'NONE'")
