"""The commands as a user runs them: a run, the commands that read it, and their help."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import assert_one_sentence, refusal, run
from tests.support.runs import write_noise_pictures
from train import evaluate, predict
from train.config import saved
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.data.dataset import DIGITS
from train.data.formats import idx
from train.figures import __main__ as figures

COMMANDS = ("main", "evaluate", "predict", "features", "figures", "fetch", "prepare", "runs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short run on one device, and its finished process."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    flags = ["--net", "benchmarks.tiny_net:TINY", "--epochs", 1, "--batch-size", 250]
    done = run("train.main", "--run-dir", run_dir, *flags)
    assert done.returncode == 0, done.stderr
    return run_dir, done


def test_a_run_ends_with_error_curves_and_checkpoint_and_prints_no_warnings(trained):
    run_dir, done = trained
    assert done.stderr == ""
    *_, epoch, waited, chosen, result, curves, checkpoint = done.stdout.splitlines()
    assert epoch.startswith("epoch 1  training loss ")
    assert waited.startswith("the devices waited for data ")
    assert chosen.startswith("validation accuracy ")
    assert chosen.endswith("(on 500 images)")
    assert result.startswith("test accuracy ")
    assert "on 1,000 images" in result
    assert curves == f"curves      {run_dir / 'curves.png'}"
    assert str(run_dir / "checkpoints" / "18") in checkpoint
    with Image.open(run_dir / "curves.png") as picture:
        assert picture.size > (800, 300)
    assert list((run_dir / "tensorboard").glob("events.*"))


def test_the_run_folder_keeps_configuration_versions_and_commit(trained):
    run_dir, done = trained
    record = json.loads((run_dir / "config.json").read_text())
    assert record["config"]["batch_size"] == 250
    assert record["versions"].keys() >= {"python", "jax", "flax", "optax", "grain"}
    assert [record["data"][part] for part in ("train", "val", "test")] == [5000, 500, 1000]
    assert record["config"]["validation"] == 0.1
    assert "commit" in record
    assert record["arithmetic"] == [{"from_step": 0, "device": "cpu", "products": "float32"}]
    assert " on 1 cpu device, products in float32, " in done.stdout


def test_metrics_are_json_lines_one_a_step_and_one_an_evaluation(trained):
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 19))
    assert steps[0]["loss"] == pytest.approx(np.log(10), abs=0.5)
    epoch, test = rows[18:]
    names = ("loss", "top1_error", "top5_error")
    assert test.keys() == {"step", *(f"test_{name}" for name in names)}
    trained_on = {f"train_{name}" for name in names[:2]}
    assert epoch.keys() == {"step", *(f"val_{name}" for name in names)} | trained_on


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


def test_evaluate_gives_the_error_that_training_logged_on_any_devices_and_batches(
    trained, tmp_path
):
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    logged = next(row for row in rows if "test_loss" in row)
    errors = {}
    for name, flags in {
        "one": ["--per-class", "--confusion", 2],
        "two": [
            *("--devices", 2, "--layout", "dense", "--batch-size", 77),
            *("--crops", 10, "--checkpoint", 18),
        ],
    }.items():
        path = tmp_path / f"{name}.json"
        done = run("train.evaluate", trained[0], "--json", path, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        results = json.loads(path.read_text())
        assert results["images"] == 1000
        errors[name] = results["errors"]
        if name == "one":
            assert sum(row["images"] for row in results["classes"]) == 1000
            assert len(results["confusions"]) == 2
            assert "most often confused" in done.stdout
    assert [row["patches"] for row in errors["two"]] == [1, 10]
    for [central, *_] in errors.values():
        for k in (1, 5):
            assert central[f"top{k}_error"] == logged[f"test_top{k}_error"]
        assert central["loss"] == pytest.approx(logged["test_loss"], rel=1e-5)


def test_evaluate_finds_the_validation_images_of_a_run(trained, capsys):
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    logged = next(row for row in rows if "val_loss" in row)
    evaluate.main([str(trained[0]), "--part", "validation", "--json", "-"])
    results = json.loads(capsys.readouterr().out)
    assert (results["part"], results["images"]) == ("validation", 500)
    assert results["errors"][0]["top1_error"] == pytest.approx(logged["val_top1_error"], rel=1e-5)


def test_figures_draws_the_curves_again_or_into_another_file(trained, tmp_path):
    (trained[0] / "curves.png").unlink()
    done = run("train.figures", "curves", trained[0])
    assert done.stdout.strip() == str(trained[0] / "curves.png")
    assert (trained[0] / "curves.png").exists()
    figures.main(["curves", str(trained[0]), str(tmp_path / "curves.pdf")])
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF-")
    with pytest.raises(BadInput, match=r"curves\.txt should end in \.png, \.pdf or \.svg"):
        figures.main(["curves", str(trained[0]), "curves.txt"])


def test_a_folder_that_holds_a_run_is_refused_and_nothing_is_lost(trained):
    run_dir, _ = trained
    before = sorted((path, path.stat().st_mtime_ns) for path in run_dir.rglob("*"))
    assert_one_sentence(run("train.main", "--run-dir", run_dir), "holds a run already; --resume")
    other = refusal("--run-dir", run_dir, "--resume", "--learning-rate", 0.5)
    assert "holds a run with --learning-rate 0.01, not 0.5" in other
    assert sorted((path, path.stat().st_mtime_ns) for path in run_dir.rglob("*")) == before


def test_a_run_is_not_resumed_on_other_data(trained, tmp_path):
    write_noise_pictures(tmp_path, ["cat", "dog"])
    message = refusal("--run-dir", trained[0], "--resume", "--data", tmp_path)
    assert "holds a run on other data" in message


def test_a_resumed_run_saves_the_flags_that_changed(trained, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(trained[0], run_dir)
    done = run("train.main", "--run-dir", run_dir, "--resume", "--steps", 21, "--threads", 1)
    assert done.returncode == 0, done.stderr
    again = parse(["--run-dir", str(run_dir), "--resume"])
    assert (again.recipe.steps, again.data.threads, again.recipe.batch_size) == (21, 1, 250)
    message = refusal("--run-dir", run_dir, "--resume", "--steps", 3)
    assert "is at step 21, past the last step, 3" in message
    assert parse(["--run-dir", str(run_dir), "--resume"]) == again
    with pytest.raises(BadInput, match="--epochs: the run's length is --steps 21; change that"):
        parse(["--run-dir", str(run_dir), "--resume", "--epochs", "9"])


def test_a_resumed_run_keeps_its_schedule(tmp_path):
    saved.save_config(
        Config().replace(run_dir=tmp_path, schedule="dexp"), {"data": {"class_names": ["a", "b"]}}
    )
    resume = ["--run-dir", str(tmp_path), "--resume"]
    with pytest.raises(BadInput, match="holds a run with --schedule dexp, not plateau"):
        parse([*resume, "--schedule", "plateau"])
    with pytest.raises(BadInput, match=r"--epochs: the schedule dexp is made for 16\.0 epochs"):
        parse([*resume, "--epochs", "20"])
    assert parse([*resume, "--steps", "20"]).recipe.schedule == "dexp"


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
        ("config.json", b"{}", "its config.json is not that of a run"),
        (
            "config.json",
            b'{"config": {}, "data": {"class_names": ["a"]}}',
            "its config.json is not that of a run",
        ),
        (
            "config.json",
            b'{"config": {"net": "DIGITS", "epochs": "9"}, "data": {"class_names": ["a"]}}',
            "config.json is damaged, or of another version: epochs",
        ),
        ("mean.npy", b"no array", "mean.npy cannot be read"),
        ("mean.npy", None, "mean.npy is not a mean image of 28 x 28 x 3"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(trained, tmp_path, name, content, words):
    from train.inference.predictor import open_predictor

    shutil.copytree(trained[0], tmp_path / "run")
    path = tmp_path / "run" / name
    if content is None:
        np.save(path, np.full((28, 28, 3), np.nan, np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        open_predictor(tmp_path / "run")


def test_an_experiment_sets_the_defaults_and_flags_change_them():
    paper = parse(["--experiment", "paper", "--data", "here", "--batch-size", "64"]).recipe
    assert (paper.net, paper.batch_size, paper.epochs, paper.flip) == ("PAPER", 64, 90, True)
    assert parse([]) == Config()


HELP_OF_ALL = """
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
    command = [sys.executable, "-c", HELP_OF_ALL, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert [done.stdout.count(f"usage: python -m train.{name} ") for name in COMMANDS] == [1] * 8
