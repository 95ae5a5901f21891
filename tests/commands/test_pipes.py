"""Pipes under the names of files: whoever opens one waits for its writer, so nothing opens one."""

import os
import signal
from pathlib import Path

import pytest

import alexnet_jax
from alexnet_jax import perceptual, user_code
from alexnet_jax.weights.files import checksums, matlab, run_checkpoints
from train.config.errors import BadInput
from train.config.saved import read_record
from train.data.formats import cifar, manifest
from train.data.image_statistics import read_mean
from train.run_dir.metrics import read_metrics


class WaitedError(BaseException):
    """A test has waited; no handler of errors catches this."""


@pytest.fixture(autouse=True)
def _alarm():
    def stop(*_):
        raise WaitedError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path):
    """Return a function that makes a pipe in a folder of the test."""

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        return path

    return make


@pytest.mark.parametrize(
    "read",
    [
        alexnet_jax.load,
        lambda path: alexnet_jax.load(Path(__file__), mean=path),
        matlab.read_mat,
        perceptual._read_linear,
    ],
    ids=["weights", "mean", "matlab", "lpips"],
)
def test_a_pipe_is_no_file_of_weights(pipe, read):
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        read(pipe("x"))


def test_a_device_is_no_file_of_weights():
    with pytest.raises(OSError, match="it is a device, not a file"):
        alexnet_jax.load("/dev/zero")


def test_a_pipe_is_no_network_of_ones_own(pipe):
    with pytest.raises(ValueError, match=r"net\.py cannot be read: it is a pipe, not a file"):
        user_code.find_architecture(f"{pipe('net.py')}:NET")


def test_pipes_in_the_folder_of_a_run_are_not_read(pipe, tmp_path):
    with pytest.raises(BadInput, match="it is a pipe"):
        read_record(pipe("run/config.json").parent)
    with pytest.raises(BadInput, match=r"mean\.npy is not a file"):
        read_mean(pipe("run/mean.npy").parent, 8)
    assert read_metrics(pipe("run/metrics.jsonl").parent) == []
    step = pipe("run/checkpoints/8/digests.json").parent
    assert checksums.fault(step) == "its digests.json cannot be read"
    (step / "digests.json").unlink()
    pipe("run/checkpoints/8/metrics/metrics")
    checksums.write(step)
    (step / "state").write_text("x")
    checksums.write(step)
    assert run_checkpoints.choose_step(step.parent) == 8


def test_pipes_in_the_folder_of_a_data_set_are_not_read(pipe):
    assert not manifest.exists(pipe("records/manifest.json").parent)
    with pytest.raises(BadInput, match=r"holds no manifest\.json"):
        manifest.read(pipe("others/manifest.json").parent)
    variant = cifar.VARIANTS[0]
    names = cifar.class_names(pipe(f"cifar/{variant.names}").parent, variant)
    assert names == tuple(map(str, range(variant.classes)))
