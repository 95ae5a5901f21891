"""`train.prepare`: pictures to shards."""

import argparse
import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
from grain.sources import ArrayRecordDataSource
from PIL import Image

from benchmarks import loader
from tests.photographs import DEVKIT, RED, SHOWN, SYNSETS, ilsvrc, odd, photograph, undecodable
from train import lock
from train.config import BadInput
from train.data.preparation import Options, prepare
from train.data.sources import open_data
from train.prepare import main

LABELS = "\n".join(SYNSETS[label] for label in SHOWN)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """ILSVRC in small, 24 training and 5 validation pictures, with a list of the latter."""
    root = tmp_path_factory.mktemp("source")
    ilsvrc(root)
    (root / "val.txt").write_text(LABELS)
    return root


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """Its shards, made by one process."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare(options(tree, out))
    return out


def options(root, out, **changes):
    common = {"labels": root / "val.txt", "size": 16, "shard_size": 7}
    return Options(source=root, out=out, **(common | changes))


def records(out, split="train"):
    files = sorted(str(path) for path in out.glob(f"{split}-*"))
    return [msgpack.unpackb(record) for record in ArrayRecordDataSource(files)]


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("[!.]*")}


def picture(record):
    return np.asarray(Image.open(io.BytesIO(record["jpeg"])))


def test_the_shards_hold_every_picture_once_with_its_label(prepared):
    names = ["colours.npy", "manifest.json", "mean.npy", "test-00000-of-00001.array_record"]
    assert sorted(contents(prepared)) == names + [
        f"train-{i:05}-of-00004.array_record" for i in range(4)
    ]
    train, test = records(prepared), records(prepared, "test")
    wanted = {
        f"train/{name}/{name}_{i}.JPEG": n for n, name in enumerate(SYNSETS) for i in range(8)
    }
    assert {record["name"]: record["label"] for record in train} == wanted
    assert len(train) == len(wanted)
    assert [record["label"] for record in test] == list(SHOWN)
    assert [record["name"][-8:] for record in test] == [f"000{i}.JPEG"[-8:] for i in range(1, 6)]


def test_a_record_is_a_jpeg_file_of_the_size_of_quality_95(prepared):
    jpeg = Image.open(io.BytesIO(records(prepared)[0]["jpeg"]))
    assert (jpeg.format, jpeg.mode, jpeg.size) == ("JPEG", "RGB", (16, 16))
    reference = io.BytesIO()
    Image.new("RGB", (16, 16)).save(reference, "JPEG", quality=95)
    assert jpeg.quantization == Image.open(reference).quantization


def test_training_pictures_are_shuffled_once_so_that_shards_mix_the_classes(
    prepared, tree, tmp_path
):
    shards = [[r["label"] for r in records(prepared, f"train-{i:05}")] for i in range(4)]
    assert [len(shard) for shard in shards] == [6, 6, 6, 6]
    assert all(len(set(shard)) > 1 for shard in shards)
    prepare(options(tree, tmp_path / "out", seed=1))
    names, other = ([r["name"] for r in records(out)] for out in (prepared, tmp_path / "out"))
    assert names != other
    assert sorted(names) == sorted(other)


def test_the_same_source_gives_the_same_bytes_whatever_the_number_of_processes(
    prepared, tree, tmp_path
):
    shutil.copytree(tree, tmp_path / "moved")
    prepare(options(tmp_path / "moved", tmp_path / "out", processes=3))
    assert contents(tmp_path / "out") == contents(prepared)


def test_the_manifest_counts_and_digests_what_there_is(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["classes"] == list(SYNSETS)
    assert manifest["by_class"] == {"train": [8, 8, 8], "test": [1, 2, 2]}
    settings = manifest["settings"]
    assert [settings[name] for name in ("size", "resize", "quality")] == [16, "crop", 95]
    assert (settings["class_order"], settings["seed"]) == ("sorted", 0)
    lines = [f"{s['sha256']}  {s['file']}" for split in manifest["shards"].values() for s in split]
    check = subprocess.run(["sha256sum", "-c"], input="\n".join(lines), cwd=prepared, text=True)
    assert len(lines) == 5
    assert check.returncode == 0
    assert sum(s["pictures"] for s in manifest["shards"]["train"]) == 24


def test_the_mean_and_the_colours_of_all_training_pictures_are_kept_beside_them(prepared):
    images = np.stack([picture(record) for record in records(prepared)]).astype(np.float64)
    mean = np.load(prepared / "mean.npy")
    assert (len(images), mean.dtype) == (24, np.float32)
    np.testing.assert_allclose(mean, images.mean(axis=0), rtol=1e-6)
    variances, *colours = np.load(prepared / "colours.npy")
    pixels = images.reshape(-1, 3)
    _, singular, rows = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(variances, singular[::-1] ** 2 / len(pixels), rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.array(colours).T @ rows[::-1].T), np.eye(3), atol=1e-7)

    kept = json.loads((prepared / "manifest.json").read_text())["statistics"]
    assert kept["pictures"] == 24
    np.testing.assert_allclose(kept["channel_mean"], pixels.mean(axis=0), atol=1e-4)
    assert kept["files"] == {
        name: hashlib.sha256((prepared / name).read_bytes()).hexdigest()
        for name in ("mean.npy", "colours.npy")
    }


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
    else:  # a folder that was made before there were statistics
        manifest = json.loads((out / "manifest.json").read_text())
        del manifest["statistics"], manifest["words"]
        (out / "manifest.json").write_text(json.dumps(manifest))
        (out / "mean.npy").unlink()
        (out / "colours.npy").unlink()
    prepare(options(tree, out))
    assert contents(out) == contents(prepared)


def test_the_words_of_synsets_are_kept(tree, tmp_path):
    (tmp_path / "words.txt").write_text(
        f"{SYNSETS[1]} kit fox, Vulpes macrotis\n{SYNSETS[0]}\nn9 x"
    )
    out = tmp_path / "out"
    prepare(options(tree, out, synsets=tmp_path / "words.txt"))
    words = {SYNSETS[1]: "kit fox, Vulpes macrotis"}
    assert json.loads((out / "manifest.json").read_text())["words"] == words
    assert open_data(out, "auto", 16).record()["words"] == words
    assert prepare(options(tree, out)).words == words


def test_the_devkits_order_of_classes_is_stated_and_used(tree, tmp_path):
    (tmp_path / "synsets.txt").write_text("\n".join(DEVKIT))
    out = tmp_path / "out"
    prepare(options(tree, out, synsets=tmp_path / "synsets.txt", class_order="devkit"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["classes"] == list(DEVKIT)
    assert manifest["settings"]["class_order"] == "devkit"
    for record in records(out):
        assert record["name"].split("/")[1] == DEVKIT[record["label"]]


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_picture_is_cropped_or_squashed_and_fine_patterns_are_averaged(tmp_path, resize):
    stripes = np.zeros((64, 192, 3), np.uint8)
    stripes[:, 64:128:2] = 255  # thirds: black, black and white by turns, black
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(stripes).save(tmp_path / "in" / name / f"{i}.png")
    prepare(Options(source=tmp_path / "in", out=tmp_path / "out", size=24, resize=resize))
    image = picture(records(tmp_path / "out")[0]).astype(int)
    middle = image[:, 10:14]
    assert abs(middle - 127.5).max() < 12
    if resize == "crop":
        assert abs(image - 127.5).max() < 40
    else:
        assert max(image[:, :6].max(), image[:, -6:].max()) < 12


def test_odd_pictures_are_converted_and_undecodable_ones_left_out_by_name(tmp_path, capsys):
    oddities = odd(tmp_path / "in" / "train" / "red")
    why = undecodable(tmp_path / "in" / "train" / "broken")
    photograph(tmp_path / "in" / "train" / "broken" / "whole.jpg", 0)
    for name in ("red", "broken"):
        (tmp_path / "in" / "val" / name).mkdir(parents=True)
        photograph(tmp_path / "in" / "val" / name / "whole.jpg", 0)
    main([str(tmp_path / "in"), str(tmp_path / "out"), "--size", "16", "--processes", "2"])
    said = capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    shards = [shard for split in manifest["shards"].values() for shard in split]
    found = {name: words for shard in shards for name, words in shard["odd"].items()}
    assert found == {f"train/red/{name}": words for name, words in oddities.items()}
    assert manifest["oddities"] == dict.fromkeys(
        [w for words in oddities.values() for w in words], 1
    )
    left_out = {name: why for shard in shards for name, why in shard["left_out"].items()}
    assert left_out.keys() == {f"train/broken/{name}" for name in why}
    for name, reason in why.items():
        assert left_out[f"train/broken/{name}"].startswith(reason)
        assert f"  train/broken/{name} {reason}" in said
    assert "left out: 5" in said
    assert "1 CMYK, 1 PNG named .JPEG" in said
    for record in records(tmp_path / "out"):
        gray = {"gray.JPEG": (82, 82, 82), "deep.png": (200, 200, 200)}
        if record["label"] == 1:
            colour = gray.get(Path(record["name"]).name, RED)
            assert abs(picture(record).astype(int) - colour).max() < 12, record["name"]


def run(*arguments):
    command = [sys.executable, "-m", "train.prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_strict_stops_at_a_picture_that_cannot_be_decoded(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    broken = tmp_path / "in" / "train" / SYNSETS[1] / f"{SYNSETS[1]}_3.JPEG"
    broken.write_bytes(b"")
    arguments = (tmp_path / "in", tmp_path / "out", "--labels", tree / "val.txt", "--size", 16)
    done = run(*arguments, "--strict", "--processes", 2)
    assert (done.returncode, done.stderr) == (2, f"error: {broken} is not a picture\n")
    whole = options(tmp_path / "in", tmp_path / "out", shard_size=2048)
    assert prepare(whole).by_class["train"] == (8, 7, 8)
    with pytest.raises(BadInput, match=f"{broken.name} is not a picture"):
        prepare(dataclasses.replace(whole, strict=True))


def test_pictures_that_were_left_out_are_taken_when_they_have_been_mended(prepared, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    broken = list((tmp_path / "in" / "train" / SYNSETS[1]).iterdir())
    for path in broken:
        path.write_bytes(b"")
    whole = options(tmp_path / "in", tmp_path / "out")
    with pytest.raises(BadInput, match="none of the pictures of n02119789 can be decoded"):
        prepare(whole)
    for path in broken:
        shutil.copy(tree / path.relative_to(tmp_path / "in"), path)
    prepare(whole)
    assert contents(tmp_path / "out") == contents(prepared)


def test_a_second_process_is_kept_from_the_folder_and_other_flags_while_nothing_is_made(
    prepared, tree, tmp_path
):
    with (
        lock.held(prepared, ".lock", "written"),
        pytest.raises(BadInput, match=r"is being written by process \d+ on "),
    ):
        prepare(options(tree, prepared))
    (tmp_path / "unfinished.jsonl").write_text('{"size": 17}\n')
    prepare(options(tree, tmp_path))
    assert contents(tmp_path) == contents(prepared)


def test_the_loaders_benchmark_reads_what_the_shards_were_made_from(prepared, tree):
    given = argparse.Namespace(records=prepared, folder=tree, images=9, batch_size=4, threads=[1])
    takers = loader.all_takers(given)
    for name in ("folder, plain Pillow loop", "folder, by index", "shards, by index"):
        assert takers[name]().images == 8  # every third of 24


def test_after_a_kill_the_same_command_goes_on_to_the_same_bytes(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    photograph(tmp_path / "in" / "a" / "0.jpg", 0, (1600, 1200))
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
    await_end_of_orphans(out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.array_record")}
    journal = (out / "unfinished.jsonl").read_text()
    assert not (out / "manifest.json").exists()
    with pytest.raises(BadInput, match=r"out holds no manifest.json, which train.prepare writes"):
        open_data(out, "auto", 64)
    (out / "unfinished.jsonl").write_text(journal + '{"file": "train-000')  # cut off in a line
    done = run(*arguments, out)
    assert done.returncode == 0, done.stderr
    assert run(*arguments, straight).returncode == 0
    assert contents(out) == contents(straight)
    noted = [path for path in kept if path.name in journal]
    assert 3 <= len(noted) < 20
    assert all(path.stat().st_mtime_ns == kept[path] for path in noted)


def await_end_of_orphans(out):
    """Each process has its number in the name of what it was writing."""
    for number in {path.suffix[1:] for path in out.glob("*.array_record.*")}:
        state = ["ps", "-o", "stat=", "-p", number]
        for _ in range(200):
            if subprocess.run(state, capture_output=True, text=True).stdout.strip() in ("", "Z"):
                break
            time.sleep(0.05)
        else:
            pytest.fail("a process goes on without its parent")


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_complete_folder_is_checked_and_mended(prepared, tree, tmp_path, damage):
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 17}, "out was begun with the size 16, not 17; name another folder"),
        ({"resize": "squash"}, "out was begun with the resize crop, not squash"),
        ({"shard_size": 8}, "begun with the shard size 7, not 8"),
        ({"class_order": "devkit"}, "--class-order devkit needs --synsets"),
        ({"labels": None}, "val holds pictures that are in no class's folder; .* --labels"),
        ({"labels": Path("none.txt")}, "none.txt cannot be read: No such file"),
        ({"source": Path("nowhere")}, "nowhere is not a folder"),
        ({"source": Path("/")}, "lies in /; the shards need a folder elsewhere"),
        ({"out": Path("/proc/out")}, "/proc/out cannot be made a folder"),
        ({"out": Path("/etc")}, "/etc holds other files already"),
    ],
)
def test_what_cannot_be_prepared_is_refused(prepared, tree, changes, words):
    before = contents(prepared)
    with pytest.raises(BadInput, match=words):
        prepare(dataclasses.replace(options(tree, prepared), **changes))
    assert contents(prepared) == before


def test_a_source_that_has_changed_is_not_mixed_with_the_old_one(prepared, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "in")
    shutil.copytree(prepared, tmp_path / "out")
    photograph(tmp_path / "in" / "train" / SYNSETS[0] / "new.JPEG", 5)
    with pytest.raises(BadInput, match="out was begun with other pictures"):
        prepare(options(tmp_path / "in", tmp_path / "out"))


def test_a_class_without_a_picture_that_can_be_decoded_is_refused(tmp_path):
    for name in ("a", "b"):
        undecodable(tmp_path / "in" / name)
    photograph(tmp_path / "in" / "a" / "0.jpg", 0)
    photograph(tmp_path / "in" / "a" / "z.jpg", 0)
    with pytest.raises(BadInput, match=r"none of the pictures of b can be decoded: b/.*, for one"):
        prepare(Options(source=tmp_path / "in", out=tmp_path / "out", size=16))


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
