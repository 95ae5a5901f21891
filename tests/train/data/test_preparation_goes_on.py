"""`train.prepare` after interruptions and damage, and the inputs that it refuses."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import assert_one_sentence, run
from tests.support.photographs import SYNSETS, write_photograph, write_undecodable
from tests.support.prepared import contents, options
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.preparation.prepare import PrepareOptions, prepare
from train.prepare import main
from train.runtime import lock


def test_after_a_kill_the_same_command_finishes_with_the_same_bytes(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    write_photograph(tmp_path / "in" / "a" / "0.jpg", 0, (1600, 1200))
    for i in range(1, 30):
        shutil.copy(tmp_path / "in" / "a" / "0.jpg", tmp_path / "in" / "a" / f"{i}.jpg")
    shutil.copytree(tmp_path / "in" / "a", tmp_path / "in" / "b")
    arguments = [tmp_path / "in", "--size", 64, "--shard-size", 3, "--processes", 2]
    straight, out = tmp_path / "straight", tmp_path / "out"
    command = [sys.executable, "-m", "train.prepare", *map(str, [*arguments, out])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while "".join(p.read_text() for p in out.glob("*.jsonl")).count("sha256") < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    wait_for_orphans(out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.array_record")}
    journal = (out / "unfinished.jsonl").read_text()
    assert not (out / "manifest.json").exists()
    with pytest.raises(BadInput, match=r"out holds no manifest.json, which train.prepare writes"):
        open_data(out, "auto", 64)
    (out / "unfinished.jsonl").write_text(journal + '{"file": "train-000')  # cut off within a line
    done = run("train.prepare", *arguments, out)
    assert done.returncode == 0, done.stderr
    assert run("train.prepare", *arguments, straight).returncode == 0
    assert contents(out) == contents(straight)
    journaled = [path for path in kept if path.name in journal]
    assert 3 <= len(journaled) < 20
    assert all(path.stat().st_mtime_ns == kept[path] for path in journaled)


def wait_for_orphans(out):
    """Wait for the workers; each has its process id in the name of the file that it was writing."""
    for number in {path.suffix[1:] for path in out.glob("*.array_record.*")}:
        state = ["ps", "-o", "stat=", "-p", number]
        for _ in range(200):
            if subprocess.run(state, capture_output=True, text=True).stdout.strip() in ("", "Z"):
                break
            time.sleep(0.05)
        else:
            pytest.fail("a process goes on without its parent")


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_complete_folder_is_checked_and_repaired(prepared, tree, tmp_path, damage):
    out = tmp_path / "out"
    shutil.copytree(prepared, out)
    path = out / "train-00002-of-00004.array_record"
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flipped":
        data[1000] ^= 1
        path.write_bytes(data)
    prepare(options(tree, out))
    assert contents(out) == contents(prepared)


@pytest.mark.parametrize("damage", ["missing", "flipped", "older"])
def test_statistics_that_are_missing_or_damaged_are_measured_again(
    prepared, tree, tmp_path, damage
):
    out = tmp_path / "out"
    shutil.copytree(prepared, out)
    data = (out / "mean.npy").read_bytes()
    if damage == "missing":
        (out / "colours.npy").unlink()
    elif damage == "flipped":
        (out / "mean.npy").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:  # a folder prepared before statistics were stored
        manifest = json.loads((out / "manifest.json").read_text())
        del manifest["statistics"], manifest["words"]
        (out / "manifest.json").write_text(json.dumps(manifest))
        (out / "mean.npy").unlink()
        (out / "colours.npy").unlink()
    prepare(options(tree, out))
    assert contents(out) == contents(prepared)


def test_pictures_that_were_left_out_are_included_once_they_are_repaired(prepared, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    broken = list((tmp_path / "in" / "train" / SYNSETS[1]).iterdir())
    for path in broken:
        path.write_bytes(b"")
    preparation = options(tmp_path / "in", tmp_path / "out")
    with pytest.raises(BadInput, match="none of the pictures of n02119789 can be decoded"):
        prepare(preparation)
    for path in broken:
        shutil.copy(tree / path.relative_to(tmp_path / "in"), path)
    prepare(preparation)
    assert contents(tmp_path / "out") == contents(prepared)


def test_a_second_process_is_locked_out_and_flags_may_change_until_a_shard_is_written(
    prepared, tree, tmp_path
):
    with (
        lock.acquire(prepared, ".lock", "written"),
        pytest.raises(BadInput, match=r"is being written by process \d+ on "),
    ):
        prepare(options(tree, prepared))
    (tmp_path / "unfinished.jsonl").write_text('{"size": 17}\n')
    prepare(options(tree, tmp_path))
    assert contents(tmp_path) == contents(prepared)


def test_a_source_that_has_changed_is_not_mixed_with_the_old_one(prepared, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    shutil.copytree(prepared, tmp_path / "out")
    write_photograph(tmp_path / "in" / "train" / SYNSETS[0] / "new.JPEG", 5)
    with pytest.raises(BadInput, match="out was begun with other pictures"):
        prepare(options(tmp_path / "in", tmp_path / "out"))


def test_strict_stops_at_a_picture_that_cannot_be_decoded(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    broken = tmp_path / "in" / "train" / SYNSETS[1] / f"{SYNSETS[1]}_3.JPEG"
    broken.write_bytes(b"")
    arguments = (tmp_path / "in", tmp_path / "out", "--labels", tree / "val.txt", "--size", 16)
    done = run("train.prepare", *arguments, "--strict", "--processes", 2)
    assert (done.returncode, done.stderr) == (2, f"error: {broken} is not a picture\n")
    tolerant = options(tmp_path / "in", tmp_path / "out", shard_size=2048)
    assert prepare(tolerant).class_counts["train"] == (8, 7, 8)
    with pytest.raises(BadInput, match=f"{broken.name} is not a picture"):
        prepare(dataclasses.replace(tolerant, strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 17}, "out was begun with the size 16, not 17; name another folder"),
        ({"resize": "squash"}, "out was begun with the resize crop, not squash"),
        ({"shard_size": 8}, "begun with the shard size 7, not 8"),
        ({"class_order": "devkit"}, "--class-order devkit needs --synsets"),
        ({"labels": None}, "val holds pictures outside of class folders, which need --labels"),
        ({"labels": Path("none.txt")}, "none.txt cannot be read: No such file"),
        ({"source": Path("nowhere")}, "nowhere is not a folder"),
        ({"source": Path("/")}, "lies in /; the shards need a folder elsewhere"),
        ({"out": Path("/proc/out")}, "/proc/out cannot be made a folder"),
        ({"out": Path("/etc")}, "/etc holds other files already"),
    ],
)
def test_invalid_options_are_refused_and_change_nothing(prepared, tree, changes, words):
    before = contents(prepared)
    with pytest.raises(BadInput) as caught:
        prepare(dataclasses.replace(options(tree, prepared), **changes))
    assert re.search(words, caught.value.with_flags())
    assert contents(prepared) == before


def test_the_command_names_arguments_by_their_flags(tree, tmp_path):
    done = run("train.prepare", tree, tmp_path / "out", "--class-order", "devkit")
    assert_one_sentence(done, f"{tree}/val holds pictures outside of class folders, which need --l")
    labels = ("--labels", tree / "val.txt")
    done = run("train.prepare", tree, tmp_path / "out", *labels, "--class-order", "devkit")
    assert_one_sentence(done, "error: --class-order devkit needs --synsets, the devkit's meta.mat")


def test_a_class_without_a_picture_that_can_be_decoded_is_refused(tmp_path):
    for name in ("a", "b"):
        write_undecodable(tmp_path / "in" / name)
    write_photograph(tmp_path / "in" / "a" / "0.jpg", 0)
    write_photograph(tmp_path / "in" / "a" / "z.jpg", 0)
    with pytest.raises(BadInput, match=r"none of the pictures of b can be decoded: b/.*, for one"):
        prepare(PrepareOptions(source=tmp_path / "in", out=tmp_path / "out", size=16))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["SRC"], "the following arguments are required: OUT"),
        (["SRC", "OUT", "--size", "0"], "--size: must be a whole number from 1 to 16384, not 0"),
        (["SRC", "OUT", "--size", "16385"], "--size: must be a whole number from 1 to 16384"),
        (["SRC", "OUT", "--processes", "two"], "--processes: must be a whole number from 1 on"),
        (["SRC", "OUT", "--held-out", "1"], "--held-out: must be above 0 and below 1, not 1"),
        (["SRC", "OUT", "--resize", "warp"], "invalid choice: 'warp'"),
    ],
)
def test_a_wrong_flag_is_named(flags, words):
    with pytest.raises(BadInput, match=words):
        main(flags)
