"""Errors of the commands, each one sentence; a run loses nothing by damaged data."""

import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import assert_one_sentence, refusal, run
from train import evaluate
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.runtime.cli import run_command
from train.trainer.build import load_network_and_data


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--devices", "0"], "--devices must be above 0, not 0"),
        (["--coordinator", "here"], "--coordinator must be HOST:PORT, not here"),
        (["--coordinator", "here:99999"], "--coordinator must be HOST:PORT, not here:99999"),
        (["--processes", "2"], "--coordinator, --processes and --process-id belong together"),
        (
            ["--coordinator", "h:1", "--processes", "2", "--process-id", "2"],
            "--process-id must be from 0 to 1, not 2",
        ),
        (["--devices", "two"], "--devices: 'two' is not a whole number; "),
        (["--batch-size", "0"], "--batch-size must be above 0, not 0"),
        (["--learning-rate", "nan"], "--learning-rate must be a number above 0, not nan"),
        (["--epochs", "-1"], "--epochs must be above 0 and below a million, not -1.0"),
        (["--steps", "1e3"], "--steps: '1e3' is not a whole number; "),
        (["--plan", "--plan-images", "1e6", "5"], "--plan-images: '1e6' is not a whole number; "),
        (
            ["--plan", "--plan-images", "5", "-1"],
            "--plan-images must be one number above 0, or two, not 5 -1;",
        ),
        (["--held-out", "0"], "--held-out must be above 0 and below 1, not 0.0"),
        (["--held-out", "1"], "--held-out must be above 0 and below 1, not 1.0"),
        (["--held-out", "nan"], "--held-out must be above 0 and below 1, not nan"),
        (["--momentum", "1"], "--momentum must be at least 0 and below 1, not 1.0"),
        (["--cut-epochs", "14", "10"], "--cut-epochs must be numbers above 0, each above"),
        (["--cut-epochs", "inf"], "--cut-epochs must be numbers above 0"),
        *(
            (["--layer-weight-decay", *texts], "--layer-weight-decay must be LAYER=X, with X at ")
            for texts in (["fc8"], ["fc8=lots"], ["fc8=-1"], ["=1"], ["fc8=1", "fc8=2"])
        ),
        (["--schedule", "linear"], "'linear'"),
        (["--patience", "0"], "--patience must be above 0, not 0"),
        (["--bias-rate", "-1"], "--bias-rate must be at least 0, not -1.0"),
        (["--pca-color", "lots"], "'lots'"),
        (["--crop-area", "1.5"], "--crop-area must be above 0 and at most 1, not 1.5"),
        (["--pca-color-until", "0"], "--pca-color-until must be above 0, not 0.0"),
        (["--device", "2"], "there is no flag --device; did you mean --devices? python -m "),
        (
            ["--experiment", "lenet"],
            "no experiment named lenet; there are digits, paper, ",
        ),
        (["--experiment", "paper"], "--experiment paper needs --data; digits alone brings its own"),
        (["--experiment", "caffe", "--plan"], "--experiment caffe needs --data"),
        (
            ["--experiment", "paper", "--data", "x", "--cut-epochs", "9"],
            "--cut-epochs is for --schedule cuts, not plateau",
        ),
        (["--patience", "3"], "--patience is for --schedule plateau, not cuts"),
        (
            ["--schedule", "original", "--bias-rate", "2"],
            "--bias-rate is for --schedule cuts and plateau and cosine, not original",
        ),
        (["--resume"], "--resume needs --run-dir"),
        (["--data", ""], "--data: '' names nothing; is a shell variable unset? "),
        (["--resume", "--run-dir", "nowhere"], "nowhere does not exist"),
        (["--data-kind", "zip"], "'zip'"),
    ],
)
def test_a_wrong_flag_is_named_in_one_sentence(flags, words):
    with pytest.raises(BadInput) as caught:
        parse(flags)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--net", "LENET"], "--net: there is no net named 'LENET'; python -m alexnet_jax --help"),
        (["--data", "nowhere"], "--data nowhere does not exist"),
        (["--stored-size", "20"], "--stored-size 20 is smaller than DIGITS's input, 24"),
        (
            ["--layer-weight-decay", "conv1=0", "fc10=3"],
            "--layer-weight-decay: DIGITS has no layer 'fc10', but conv1, conv2, ",
        ),
        (["--devices", 3], "--devices 3: DIGITS: 2 towers need 1 device or a multiple of 2, not 3"),
        (
            ["--devices", 8, "--batch-size", 30],
            "--batch-size 30: a batch of 30 images cannot be divided among 4 pairs of devices",
        ),
        (["--run-dir", "/proc/run"], "--run-dir /proc/run cannot be written"),
    ],
)
def test_an_invalid_run_is_refused_by_the_command(flags, words):
    assert words in refusal(*flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"data": Path(__file__)}, f"`data` {__file__} is not a folder"),
        ({"stored_size": 16385}, "images of 16385 pixels square are too large: 16384 is the most"),
    ],
)
def test_invalid_data_is_refused(flags, words):
    with pytest.raises(BadInput, match=words):
        load_network_and_data(Config().replace(**flags))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "the following arguments are required: WEIGHTS"),
        (["run", "--crops", "5"], "--crops: invalid choice: "),
        (["run", "--devices", "0"], "--devices: '0' is not a whole number above 0"),
        (["run", "--batch-size", "0"], "--batch-size: '0' is not a whole number above 0"),
        (["run", "--confusion", "-1"], "--confusion: '-1' is not a whole number above 0"),
        (["run", "--json", "nowhere/x"], "nowhere/x cannot be written: nowhere is not a folder"),
        (["run", "--json", "/"], "/ cannot be written: it is a folder"),
        (["run", "--checkpoint", "first"], "must be latest, best or a step, not first"),
        (["nowhere"], "nowhere is no file, no folder, and no name of published weights: "),
    ],
)
def test_a_wrong_argument_of_evaluate_is_named_in_one_sentence(flags, words):
    with pytest.raises(BadInput) as caught:
        evaluate.main(flags)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_checkpoints_without_a_configuration_is_not_taken_for_a_new_run(tmp_path):
    (tmp_path / "run" / "checkpoints" / "5").mkdir(parents=True)
    assert "holds a run already" in refusal("--run-dir", tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_good_checkpoints(tmp_path):
    flags = ["--run-dir", tmp_path / "run", "--learning-rate", 1e6, "--save-steps", 1]
    done = run("train.main", *flags, "--steps", 40)
    assert_one_sentence(done, "stopped: the ", status=1)
    assert " step " in done.stderr
    assert "a new run with a lower --learning-rate may help" in done.stderr
    saved = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    if saved:
        assert (
            f"the last good checkpoint is {tmp_path}/run/checkpoints/{max(saved)};" in done.stderr
        )


def write_one_picture_per_class(root):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (30, 30)).save(root / name / "x.png")


def test_a_damaged_picture_ends_the_run_and_is_named(tmp_path):
    write_one_picture_per_class(tmp_path)
    (tmp_path / "train" / "a" / "broken.png").write_bytes(b"no picture")
    message = refusal("--run-dir", tmp_path / "run", "--data", tmp_path)
    assert message == f"{tmp_path}/train/a/broken.png is not a picture"


def test_a_damaged_test_picture_is_met_before_the_first_step(tmp_path):
    write_one_picture_per_class(tmp_path)
    broken = tmp_path / "test" / "b" / "y.png"
    broken.write_bytes((tmp_path / "test" / "b" / "x.png").read_bytes()[:60])
    flags = ["--data", tmp_path, "--run-dir", tmp_path / "run"]
    assert refusal(*flags).startswith(f"{broken} cannot be decoded: ")
    assert not (tmp_path / "run").exists()


def test_damaged_pictures_are_named_once_and_left_out_up_to_a_limit(tmp_path):
    write_one_picture_per_class(tmp_path)
    for name in ("train/a/0.png", "train/a/y.png", "test/b/y.png"):
        (tmp_path / name).write_bytes(b"no picture")
    flags = ["--data", tmp_path, "--net", "benchmarks.tiny_net:TINY", "--batch-size", 4]
    flags += ["--run-dir", tmp_path / "run"]
    message = refusal(*flags, "--bad-images", 1)
    assert "is not a picture, and --bad-images allows 1" in message
    shutil.rmtree(tmp_path / "run")
    done = run("train.main", *flags, "--bad-images", 2, "--steps", 3)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("0.png", "y.png"):
        assert done.stdout.count(f"skipped: {tmp_path}/train/a/{name} is not a picture\n") == 1
    assert "\nskipped 2 training pictures that cannot be decoded\n" in done.stdout
    assert done.stdout.count(f"left out: {tmp_path}/test/b/y.png is not a picture\n") == 1
    assert "on 2 images" in done.stdout


def test_a_name_outside_unicode_is_printed_and_a_lack_of_memory_is_one_sentence(
    monkeypatch, capsys
):
    """For example, a picture whose name is in Latin-1."""
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, "utf-8", write_through=True))
    run_command(lambda: print(os.fsdecode(b"caf\xe9.jpg")))
    assert output.getvalue() == b"caf\\udce9.jpg\n"
    with pytest.raises(SystemExit, match="1"):
        run_command(lambda: np.zeros(2**58))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped: out of memory: Unable to allocate ")
