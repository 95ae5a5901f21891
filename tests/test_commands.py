"""The commands as a user meets them: what they print, and what they refuse."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train import config, evaluate, main, predict
from train.command import command
from train.command_line import parse
from train.config import BadInput, Config
from train.data import idx
from train.data.sources import DIGITS
from train.run import open_net_and_data

COMMANDS = ("main", "evaluate", "predict", "figures", "fetch", "prepare")


def run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run on one device, and what it printed."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    done = run("train.main", "--run-dir", run_dir, "--epochs", 1, "--batch-size", 250)
    assert done.returncode == 0, done.stderr
    return run_dir, done


def test_a_run_ends_with_error_curves_and_checkpoint_and_leaves_no_noise(trained):
    run_dir, done = trained
    assert done.stderr == ""
    *_, result, curves, checkpoint = done.stdout.splitlines()
    assert result.startswith("test accuracy ")
    assert "on 1,000 images" in result
    assert curves == f"curves      {run_dir / 'curves.png'}"
    assert str(run_dir / "checkpoints" / "20") in checkpoint
    with Image.open(run_dir / "curves.png") as picture:
        assert picture.size > (800, 300)
    assert list((run_dir / "tensorboard").glob("events.*"))


def test_the_run_folder_keeps_configuration_versions_and_commit(trained):
    run_dir, _ = trained
    record = json.loads((run_dir / "config.json").read_text())
    assert record["config"]["batch_size"] == 250
    assert record["versions"].keys() >= {"python", "jax", "flax", "optax", "grain"}
    assert record["data"]["train"] == 5000
    assert "commit" in record


def test_metrics_are_json_lines_one_a_step_and_one_an_evaluation(trained):
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 21))
    assert steps[0]["loss"] == pytest.approx(np.log(10), abs=0.5)
    [test] = [row for row in rows if "test_loss" in row]
    assert test.keys() == {"step", "test_loss", "test_top1_error", "test_top5_error"}


def test_predict_prints_five_classes_and_probabilities(trained, tmp_path):
    images, _ = idx.read_split(DIGITS, "test")
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for image, path in zip(images, paths):
        Image.fromarray(image).resize((50, 60)).save(path)
    done = run("train.predict", trained[0], *paths)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [lines[0], lines[6]] == [str(path) for path in paths]
    percents = [float(line.split()[0]) for line in lines[1:6]]
    assert percents == sorted(percents, reverse=True)
    assert 10 < sum(percents) <= 100.05


def test_evaluate_finds_the_error_of_the_training_on_any_devices_and_batches(trained, tmp_path):
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    at_training = next(row for row in rows if "test_loss" in row)
    errors = {}
    for name, flags in {
        "one": ["--per-class", "--confusion", 2],
        "two": ["--devices", 2, "--batch-size", 77, "--crops", 10, "--checkpoint", 20],
    }.items():
        path = tmp_path / f"{name}.json"
        done = run("train.evaluate", trained[0], "--json", path, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(path.read_text())
        assert found["images"] == 1000
        errors[name] = found["errors"]
        if name == "one":
            assert sum(row["images"] for row in found["classes"]) == 1000
            assert len(found["confusions"]) == 2
            assert "most often confused" in done.stdout
    assert [row["patches"] for row in errors["two"]] == [1, 10]
    for [central, *_] in errors.values():
        for k in (1, 5):
            assert central[f"top{k}_error"] == at_training[f"test_top{k}_error"]
        assert central["loss"] == pytest.approx(at_training["test_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "the following arguments are required: RUN"),
        (["run", "--crops", "5"], "--crops: invalid choice: "),
        (["run", "--devices", "0"], "--devices: '0' is no whole number from 1 on"),
        (["run", "--batch-size", "0"], "--batch-size: '0' is no whole number from 1 on"),
        (["run", "--confusion", "-1"], "--confusion: '-1' is no whole number from 1 on"),
        (["run", "--json", "nowhere/x"], "nowhere/x cannot be written: nowhere is not a folder"),
        (["run", "--json", "/"], "/ cannot be written: it is a folder"),
        (["run", "--checkpoint", "first"], "must be latest, best or a step, not first"),
        (["nowhere"], "nowhere holds no run"),
    ],
)
def test_a_wrong_argument_of_evaluate_is_named_in_one_sentence(flags, words):
    with pytest.raises(BadInput) as caught:
        evaluate.main(flags)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_figures_draws_the_curves_again(trained):
    (trained[0] / "curves.png").unlink()
    done = run("train.figures", "curves", trained[0])
    assert done.stdout.strip() == str(trained[0] / "curves.png")
    assert (trained[0] / "curves.png").exists()


def refusal(*arguments):
    """What train.main says in this process, without the start of another."""
    with pytest.raises(BadInput) as caught:
        main.main([*map(str, arguments)])
    return str(caught.value)


def one_picture_a_class(root):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (30, 30)).save(root / name / "x.png")


def assert_one_sentence(done, words, status=2):
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_that_holds_a_run_is_refused_and_nothing_is_lost(trained):
    run_dir, _ = trained
    before = sorted((path, path.stat().st_mtime_ns) for path in run_dir.rglob("*"))
    assert_one_sentence(run("train.main", "--run-dir", run_dir), "holds a run already; --resume")
    other = refusal("--run-dir", run_dir, "--resume", "--learning-rate", 0.5)
    assert "holds a run with --learning-rate 0.01, not 0.5" in other
    assert sorted((path, path.stat().st_mtime_ns) for path in run_dir.rglob("*")) == before


def test_a_run_is_not_resumed_on_other_data(trained, tmp_path):
    one_picture_a_class(tmp_path)
    said = refusal("--run-dir", trained[0], "--resume", "--data", tmp_path)
    assert "holds a run on other data" in said


def test_a_resumed_run_remembers_what_it_was_told_anew(trained, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(trained[0], run_dir)
    done = run("train.main", "--run-dir", run_dir, "--resume", "--steps", 21, "--threads", 1)
    assert done.returncode == 0, done.stderr
    again = parse(["--run-dir", str(run_dir), "--resume"])
    assert (again.steps, again.threads, again.batch_size) == (21, 1, 250)
    back = refusal("--run-dir", run_dir, "--resume", "--steps", 3)
    assert "stands at step 21, behind 3, the last" in back
    with pytest.raises(BadInput, match="--epochs: the run goes by --steps"):
        parse(["--run-dir", str(run_dir), "--resume", "--epochs", "9"])


def test_a_resumed_run_keeps_its_schedule(tmp_path):
    config.save(Config(run_dir=tmp_path, schedule="dexp"), {"data": {"class_names": ["a", "b"]}})
    resume = ["--run-dir", str(tmp_path), "--resume"]
    with pytest.raises(BadInput, match="holds a run with --schedule dexp, not plateau"):
        parse([*resume, "--schedule", "plateau"])
    with pytest.raises(BadInput, match="--epochs: the schedule dexp divides"):
        parse([*resume, "--epochs", "20"])
    assert parse([*resume, "--steps", "20"]).schedule == "dexp"


def test_checkpoints_without_their_configuration_are_not_taken_for_a_new_run(tmp_path):
    (tmp_path / "run" / "checkpoints" / "5").mkdir(parents=True)
    assert "holds a run already" in refusal("--run-dir", tmp_path / "run")


def test_predict_leaves_the_run_as_it_is(trained, tmp_path):
    (trained[0] / "checkpoints" / "99.orbax-checkpoint-tmp").mkdir()
    Image.new("RGB", (30, 30)).save(tmp_path / "x.png")
    before = sorted((path, path.stat().st_mtime_ns) for path in trained[0].rglob("*"))
    assert run("train.predict", trained[0], tmp_path / "x.png").returncode == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in trained[0].rglob("*")) == before
    with pytest.raises(BadInput, match=r"none\.png does not exist"):
        predict.main([str(trained[0]), "none.png"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"{}", "config.json is not a run's configuration"),
        ("config.json", b'{"config": {}, "data": {"class_names": ["a"]}}', "json is damaged"),
        ("mean.npy", b"no array", "mean.npy cannot be read"),
        ("mean.npy", None, "mean.npy is not a mean image of 28 x 28 x 3"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(trained, tmp_path, name, content, words):
    from train.trained import open_trained

    shutil.copytree(trained[0], tmp_path / "run")
    path = tmp_path / "run" / name
    if content is None:
        np.save(path, np.full((28, 28, 3), np.nan, np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        open_trained(tmp_path / "run")


def test_what_was_learnt_before_a_damaged_picture_is_kept_and_the_run_can_be_mended(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(4):
            noise = Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8))
            noise.save(tmp_path / name / f"{i}.png")
    broken = tmp_path / "test" / "b" / "3.png"
    broken.write_bytes(broken.read_bytes()[:900])
    flags = ["--run-dir", tmp_path / "run", "--batch-size", 4]
    done = run("train.main", *flags, "--data", tmp_path, "--steps", 4, "--learning-rate", 1e-4)
    assert_one_sentence(done, f"{broken} cannot be decoded")
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()
    broken.unlink()
    mended = run("train.main", "--run-dir", tmp_path / "run", "--resume")
    assert mended.returncode == 0, mended.stderr
    assert "began with 8 training and 8 test images; there are 8 training and 7" in mended.stdout
    assert "on 7 images" in mended.stdout


def test_a_loss_that_is_not_finite_ends_the_run_by_its_step_and_keeps_what_was_good(tmp_path):
    flags = ["--run-dir", tmp_path / "run", "--learning-rate", 1e6, "--save-steps", 1]
    done = run("train.main", *flags, "--steps", 40)
    assert_one_sentence(done, "stopped: the ", status=1)
    assert " step " in done.stderr
    assert "a new run with a lower --learning-rate may help" in done.stderr
    kept = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    if kept:
        assert f"the last good checkpoint is {tmp_path}/run/checkpoints/{max(kept)};" in done.stderr


def test_a_damaged_picture_ends_the_run_by_its_name(tmp_path):
    one_picture_a_class(tmp_path)
    (tmp_path / "train" / "a" / "broken.png").write_bytes(b"no picture")
    said = refusal("--run-dir", tmp_path / "run", "--data", tmp_path)
    assert said == f"{tmp_path}/train/a/broken.png is not a picture"


def test_damaged_training_pictures_are_named_once_and_skipped_up_to_a_limit(tmp_path):
    one_picture_a_class(tmp_path)
    for name in ("0.png", "y.png"):
        (tmp_path / "train" / "a" / name).write_bytes(b"no picture")
    flags = ["--data", tmp_path, "--batch-size", 4, "--run-dir", tmp_path / "run"]
    said = refusal(*flags, "--bad-images", 1)
    assert "is not a picture, and --bad-images allows 1" in said
    shutil.rmtree(tmp_path / "run")
    done = run("train.main", *flags, "--bad-images", 2, "--steps", 3)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("0.png", "y.png"):
        assert done.stdout.count(f"skipped: {tmp_path}/train/a/{name} is not a picture\n") == 1
    assert "\nskipped 2 training pictures that cannot be decoded\n" in done.stdout


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
        (["--devices", "two"], "--devices: invalid literal"),
        (["--batch-size", "0"], "--batch-size must be above 0, not 0"),
        (["--learning-rate", "nan"], "--learning-rate must be a number above 0, not nan"),
        (["--epochs", "-1"], "--epochs must be above 0 and below a million, not -1.0"),
        (["--steps", "1e3"], "--steps cannot be '1e3'; "),
        (["--plan", "--plan-images", "1e6", "5"], "--plan-images cannot be '1e6', '5'; "),
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
        (["--schedule", "cosine"], "'cosine'"),
        (["--patience", "0"], "--patience must be above 0, not 0"),
        (["--bias-rate", "-1"], "--bias-rate must be at least 0, not -1.0"),
        (["--colour-noise", "lots"], "'lots'"),
        (["--colour-noise-until", "0"], "--colour-noise-until must be above 0, not 0.0"),
        (["--device", "2"], "Unrecognized options: --device"),
        (["--experiment", "lenet"], "--experiment must be one of digits, paper, "),
        (["--resume"], "--resume needs --run-dir"),
        (["--resume", "--run-dir", "nowhere"], "nowhere holds no run"),
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
        (["--net", "LENET"], "--net: there is no net named 'LENET'; there are PAPER, DIGITS"),
        (["--data", "nowhere"], "--data nowhere is not a folder"),
        (["--stored-size", "20"], "--stored-size 20 is smaller than DIGITS's input, 24"),
        (["--devices", 3], "--devices 3: DIGITS: 2 towers need 1 device or a multiple of 2, not 3"),
        (
            ["--devices", 8, "--batch-size", 30],
            "--batch-size 30: a batch of 30 images cannot be divided among 4 pairs of devices",
        ),
        (["--run-dir", "/proc/run"], "--run-dir /proc/run cannot be written"),
    ],
)
def test_what_cannot_be_run_is_refused_by_the_command(flags, words):
    assert words in refusal(*flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"data": Path(__file__)}, f"--data {__file__} is not a folder"),
        ({"stored_size": 16385}, "images of 16385 pixels square are too large: 16384 is the most"),
    ],
)
def test_what_data_cannot_be_is_refused(flags, words):
    with pytest.raises(BadInput, match=words):
        open_net_and_data(Config(**flags))


def test_a_name_that_is_no_unicode_is_printed_and_little_memory_is_no_traceback(
    monkeypatch, capsys
):
    """As of a picture whose name is in Latin-1."""
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, "utf-8", write_through=True))
    command(lambda: print(os.fsdecode(b"caf\xe9.jpg")))
    assert said.getvalue() == b"caf\\udce9.jpg\n"
    with pytest.raises(SystemExit, match="1"):
        command(lambda: np.zeros(2**58))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped: the memory does not suffice: Unable to allocate ")


def test_an_experiment_sets_the_defaults_and_flags_change_them():
    paper = parse(["--experiment", "paper", "--batch-size", "64"])
    assert (paper.net, paper.batch_size, paper.epochs, paper.flip) == ("PAPER", 64, 90, True)
    assert parse([]) == Config()


EXPLAINED = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(f"train.{name}").main(["--help"])
    except SystemExit as end:
        assert not end.code
sys.exit("jax" in sys.modules)
"""


def test_every_command_explains_itself_without_starting_jax():
    names = [name.replace("figures", "figures.__main__") for name in COMMANDS]
    command = [sys.executable, "-c", EXPLAINED, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert [done.stdout.count(f"usage: python -m train.{name} ") for name in COMMANDS] == [1] * 6
