"""The folder of a run is deleted, renamed or full of links; a run ends before anything is saved."""

import dataclasses
import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from alexnet_jax.weights.files.atomic import write_atomically
from tests.support.tiny import SMALL
from tests.train.test_train import Stripes
from train.config.config import Config
from train.config.errors import BadInput, Ended
from train.data.examples import DataSet
from train.run_dir.folder import make_folder, open_run, record_run
from train.run_dir.links import refuse_links
from train.run_dir.metrics import MetricsLog, read_metrics
from train.run_dir.open_folder import FOLDERS, OpenFolder
from train.run_dir.same_data import check_data
from train.runtime import lock
from train.runtime.arithmetic import Arithmetic
from train.trainer.train import train

DATA = DataSet(train=Stripes(32, size=9), test=Stripes(16, size=9), class_names=("across", "down"))
CONFIG = Config().replace(net=SMALL, stored_size=9, batch_size=16, epochs=4, cut_epochs=())
STEP = 4  # of 8, at the end of an epoch of two


def test_a_folder_whose_name_is_no_unicode_is_refused(tmp_path):
    run_dir = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(BadInput, match="is no Unicode, which checkpoints need"):
        make_folder(CONFIG.replace(run_dir=run_dir))
    assert [*tmp_path.iterdir()] == []


def delete(folder):
    while folder.exists():  # a save may still delete old checkpoints
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_saves(run_dir):
    while any((run_dir / "checkpoints").glob("*tmp*")):
        time.sleep(0.01)


def train_until(run_dir, change, step=STEP):
    """Train, and change something in the folder at a step; return the sentence at the end."""

    def on_step(number, metrics):
        if number == step:
            wait_for_saves(run_dir)
            change(run_dir)

    with pytest.raises(Ended) as caught:
        train(CONFIG.replace(run_dir=run_dir), DATA, on_step=on_step)
    assert caught.value.status == 1
    return str(caught.value)


def resume(run_dir):
    results = train(CONFIG.replace(run_dir=run_dir, resume=True), DATA)
    return results["test_loss"]


def empty(folder):
    for path in folder.iterdir():
        delete(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The final test loss of the run without a fault."""
    return train(CONFIG.replace(run_dir=tmp_path_factory.mktemp("run") / "run"), DATA)["test_loss"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (delete, "run was deleted during training"),
        (empty, "files of .*run were deleted during training"),
        (lambda folder: delete(folder / "checkpoints"), "files of .*run were deleted"),
    ],
)
def test_a_run_whose_folder_is_deleted_is_saved_anew_and_goes_on(straight, tmp_path, change, words):
    run_dir = tmp_path / "run"
    sentence = train_until(run_dir, change)
    assert sentence.count("\n") == 0
    assert re.match(f"stopped: .*{words}", sentence)
    assert f"step {STEP} is saved in {run_dir}; continue with: train() with the same" in sentence
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == [str(STEP)]
    if change is delete:
        assert resume(run_dir) == straight


def test_a_file_in_the_place_of_the_checkpoints_ends_the_run_in_a_sentence(tmp_path):
    def replace(folder):
        delete(folder / "checkpoints")
        (folder / "checkpoints").touch()

    sentence = train_until(tmp_path / "run", replace)
    assert f"run were deleted during training; step {STEP} cannot be saved: " in sentence
    assert sentence.count("\n") == 0


def test_a_run_without_metrics_to_draw_ends_as_usual(straight, tmp_path, capsys):
    def on_step(number, metrics):
        if number == 8:
            (tmp_path / "metrics.jsonl").rename(tmp_path / "elsewhere")

    results = train(CONFIG.replace(run_dir=tmp_path), DATA, on_step=on_step)
    assert results["test_loss"] == straight
    assert "curves      none: " in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell the new name")
def test_a_run_whose_folder_is_renamed_is_saved_there(straight, tmp_path):
    new = tmp_path / "new name"
    sentence = train_until(tmp_path / "run", lambda folder: folder.rename(new))
    assert f"run was renamed to {new} during training; step {STEP} is saved in {new}" in sentence
    assert not (tmp_path / "run").exists()
    assert resume(new) == straight
    assert [row["step"] for row in read_metrics(new) if "loss" in row] == [*range(1, 9)]


def test_a_run_whose_place_another_run_has_taken_leaves_that_alone(tmp_path):
    def replace(folder):
        delete(folder)
        folder.mkdir()
        (folder / "config.json").write_text("another")

    assert "and another run is there; step 4 is not saved" in train_until(tmp_path / "run", replace)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_folder_deleted_after_the_last_save_is_said_to_be(tmp_path):
    sentence = train_until(tmp_path / "run", delete, step=8)
    assert "run was deleted during training; step 8 is saved in" in sentence


def test_checkpoints_that_a_user_deletes_to_save_space_do_not_matter(straight, tmp_path):
    def on_step(step, metrics):
        if step == STEP + 1:
            shutil.rmtree(tmp_path / "run" / "checkpoints" / "2")

    config = CONFIG.replace(run_dir=tmp_path / "run")
    assert train(config, DATA, on_step=on_step)["test_loss"] == straight


def interrupt(step, metrics):
    raise KeyboardInterrupt


def test_an_interrupt_before_anything_is_saved_leaves_no_folder(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    for run_dir, left in ((tmp_path / "run", False), (mine, True)):
        with pytest.raises(Ended, match=r"stopped before anything was saved$") as caught:
            train(CONFIG.replace(run_dir=run_dir), DATA, on_step=interrupt)
        assert (caught.value.status, caught.value.at_once) == (130, True)
        assert run_dir.exists() == left
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


def test_a_second_interrupt_names_the_last_checkpoint(tmp_path):
    def on_step(step, metrics):
        if step == STEP:
            wait_for_saves(tmp_path / "run")
            raise KeyboardInterrupt

    with pytest.raises(Ended) as caught:
        train(CONFIG.replace(run_dir=tmp_path / "run"), DATA, on_step=on_step)
    checkpoint = tmp_path / "run" / "checkpoints" / "2"
    assert f"stopped at once; the last checkpoint is {checkpoint}; continue" in str(caught.value)


@pytest.mark.parametrize("name", ["metrics.jsonl", "mean.npy", "tensorboard", "damaged"])
def test_a_folder_with_files_of_another_program_is_not_trained_in(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name in FOLDERS else path.write_text("mine")
    with pytest.raises(BadInput, match=f"holds files .* that a run would replace: {name};"):
        make_folder(CONFIG.replace(run_dir=tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_interrupt_deletes_nothing_that_was_there_before(tmp_path):
    run_dir = tmp_path / "run"
    config = CONFIG.replace(run_dir=run_dir)
    train(config, DATA, on_step=lambda step, _: step == 1)
    delete(run_dir / "checkpoints")  # as if it had been killed before its first one
    before = {path.name for path in run_dir.iterdir()}
    with pytest.raises(Ended, match=r"stopped before anything was saved$"):
        train(config.replace(resume=True), DATA, on_step=interrupt)
    assert before <= {path.name for path in run_dir.iterdir()}


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "checkpoints", "tensorboard"])
def test_a_file_for_a_folder_or_the_reverse_is_refused(tmp_path, name):
    path = tmp_path / name
    path.touch() if name in FOLDERS else path.mkdir()
    with pytest.raises(BadInput, match=f"{path} should be a f[a-z]+, and is a f[a-z]+$"):
        make_folder(CONFIG.replace(run_dir=tmp_path))


def test_statistics_of_a_run_that_never_began_are_not_taken_for_those_of_other_data(tmp_path):
    for name in ("lock", "mean.npy"):
        (tmp_path / name).touch()
    open_run(CONFIG.replace(run_dir=tmp_path), DATA)
    assert not (tmp_path / "mean.npy").exists()


def test_the_way_on_is_a_command_that_a_shell_takes(tmp_path):
    folder = OpenFolder(tmp_path / "my run's")
    assert folder.way_on().endswith(f"--run-dir '{tmp_path}/my run'\"'\"'s' --resume")


@pytest.mark.parametrize(
    "name",
    ["lock", "metrics.jsonl", "checkpoints", "checkpoints/5", "tensorboard/events", "anything"],
)
def test_a_run_folder_with_links_out_of_it_is_refused(tmp_path, name):
    run_dir = tmp_path / "run"
    link = run_dir / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "precious")
    (run_dir / "inside").touch()
    (run_dir / "best").symlink_to("inside")
    words = f"holds links, .*: {name} -> {tmp_path}/precious$"
    for resumed in (False, True):
        with pytest.raises(BadInput, match=words):
            train(CONFIG.replace(run_dir=run_dir, resume=resumed), DATA)
    assert not (tmp_path / "precious").exists()


def test_a_pipe_in_a_run_folder_is_refused_and_a_link_to_the_folder_is_not(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "latest").symlink_to("run")
    refuse_links(tmp_path / "latest")
    refuse_links(tmp_path / "missing")
    os.mkfifo(tmp_path / "run" / "mean.npy")
    with pytest.raises(BadInput, match=r"mean.npy, neither file nor folder"):
        refuse_links(tmp_path / "latest")


def test_nothing_is_written_through_links(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("precious")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for name in ("lock", "metrics.jsonl", f"config.json.{os.getpid()}.tmp", "config.json"):
        (run_dir / name).symlink_to(outside)
    with pytest.raises(BadInput, match="lock is a link"), lock.acquire(run_dir):
        pass
    write_atomically(run_dir / "config.json", "{}")
    with MetricsLog(run_dir, 0):
        pass
    (run_dir / "lock").unlink()
    os.link(outside, run_dir / "lock")
    with lock.acquire(run_dir):
        pass
    assert outside.read_text() == "precious"
    assert not Path(run_dir, "config.json").is_symlink()


def test_a_resumed_run_keeps_what_it_drew_at_its_beginning(tmp_path, capsys):
    drawn = dataclasses.replace(DATA, drawn_test="0123")
    other = dataclasses.replace(DATA, drawn_test="4567")
    config = CONFIG.replace(run_dir=tmp_path)
    record_run(config, drawn, Arithmetic(0, "cpu", "float32"))
    for _ in range(2):
        check_data(tmp_path, drawn)
        assert capsys.readouterr().out == ""
        check_data(tmp_path, other)
        assert f"note: the seed of {tmp_path} draws other test images" in capsys.readouterr().out
        record_run(config.replace(resume=True), other, Arithmetic(1, "cpu", "float32"))


def test_a_run_from_before_that_was_recorded_draws_what_it_draws(tmp_path, capsys):
    config = CONFIG.replace(run_dir=tmp_path)
    record_run(config, DATA, Arithmetic(0, "cpu", "float32"))
    drawn = dataclasses.replace(DATA, drawn_test="0123")
    record_run(config.replace(resume=True), drawn, Arithmetic(1, "cpu", "float32"))
    check_data(tmp_path, dataclasses.replace(DATA, drawn_test="4567"))
    assert capsys.readouterr().out == ""
