"""`train.prepare` turns pictures into shards."""

import argparse
import hashlib
import io
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import loader
from tests.support.photographs import (
    DEVKIT,
    RED,
    SHOWN,
    SYNSETS,
    write_odd_pictures,
    write_photograph,
    write_undecodable,
)
from tests.support.picture_folders import write_classes
from tests.support.prepared import contents, options, picture, records
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.preparation.prepare import PrepareOptions, prepare
from train.prepare import main


def test_the_shards_hold_every_picture_once_with_its_label(prepared):
    names = ["colours.npy", "labels.json", "manifest.json", "mean.npy"]
    names += ["test-00000-of-00001.array_record"]
    assert sorted(contents(prepared)) == names + [
        f"train-{i:05}-of-00004.array_record" for i in range(4)
    ]
    train, test = records(prepared), records(prepared, "test")
    expected = {
        f"train/{name}/{name}_{i}.JPEG": n for n, name in enumerate(SYNSETS) for i in range(8)
    }
    assert {record["name"]: record["label"] for record in train} == expected
    assert len(train) == len(expected)
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


def test_the_manifest_counts_the_pictures_and_digests_the_shards(prepared):
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


def test_the_mean_and_the_colors_of_all_training_pictures_are_kept_beside_them(prepared):
    images = np.stack([picture(record) for record in records(prepared)]).astype(np.float64)
    mean = np.load(prepared / "mean.npy")
    assert (len(images), mean.dtype) == (24, np.float32)
    np.testing.assert_allclose(mean, images.mean(axis=0), rtol=1e-6)
    variances, *colors = np.load(prepared / "colours.npy")
    pixels = images.reshape(-1, 3)
    _, singular, rows = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(variances, singular[::-1] ** 2 / len(pixels), rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.array(colors).T @ rows[::-1].T), np.eye(3), atol=1e-7)

    saved = json.loads((prepared / "manifest.json").read_text())["statistics"]
    assert saved["pictures"] == 24
    np.testing.assert_allclose(saved["channel_mean"], pixels.mean(axis=0), atol=1e-4)
    assert saved["files"] == {
        name: hashlib.sha256((prepared / name).read_bytes()).hexdigest()
        for name in ("mean.npy", "colours.npy")
    }


def test_the_descriptions_of_synsets_are_kept(tree, tmp_path):
    (tmp_path / "words.txt").write_text(
        f"{SYNSETS[1]} kit fox, Vulpes macrotis\n{SYNSETS[0]}\nn9 x"
    )
    out = tmp_path / "out"
    prepare(options(tree, out, synsets=tmp_path / "words.txt"))
    descriptions = {SYNSETS[1]: "kit fox, Vulpes macrotis"}
    assert json.loads((out / "manifest.json").read_text())["words"] == descriptions
    assert open_data(out, "auto", 16).record()["words"] == descriptions
    assert prepare(options(tree, out)).class_descriptions == descriptions


def test_the_devkits_order_of_classes_is_stated_and_used(tree, tmp_path):
    (tmp_path / "synsets.txt").write_text("\n".join(DEVKIT))
    out = tmp_path / "out"
    prepare(options(tree, out, synsets=tmp_path / "synsets.txt", class_order="devkit"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["classes"] == list(DEVKIT)
    assert manifest["settings"]["class_order"] == "devkit"
    for record in records(out):
        assert record["name"].split("/")[1] == DEVKIT[record["label"]]


def test_a_validation_part_beside_the_test_part_has_shards_of_its_own(tmp_path, capsys):
    for part, count in {"Train": 5, "Valid": 3, "Test": 2}.items():
        write_classes(tmp_path / "in" / part, count)
    out = tmp_path / "my out"
    main([str(tmp_path / "in"), str(out), "--size", "16", "--processes", "1"])
    output = capsys.readouterr().out.splitlines()
    found = "10 training pictures in Train, 4 test pictures in Test, 6 validation pictures in Valid"
    assert f"{found}, of 2 classes" in output
    assert any("10 training and 6 validation and 4 test pictures of 2 classes" in x for x in output)
    assert shlex.split(output[-1])[:5] == ["python", "-m", "train.main", "--data", str(out)]
    data = open_data(out, "auto", 16)
    assert [data.val[i]["label"] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert [data.val.name(i)[:6] for i in range(6)] == ["Valid/"] * 6
    assert (len(data.train), len(data.test)) == (10, 4)


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_picture_is_cropped_or_squashed_and_fine_patterns_are_averaged(tmp_path, resize):
    stripes = np.zeros((64, 192, 3), np.uint8)
    stripes[:, 64:128:2] = 255  # thirds: black, alternating black and white, black
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(stripes).save(tmp_path / "in" / name / f"{i}.png")
    prepare(PrepareOptions(source=tmp_path / "in", out=tmp_path / "out", size=24, resize=resize))
    image = picture(records(tmp_path / "out")[0]).astype(int)
    middle = image[:, 10:14]
    assert abs(middle - 127.5).max() < 12
    if resize == "crop":
        assert abs(image - 127.5).max() < 40
    else:
        assert max(image[:, :6].max(), image[:, -6:].max()) < 12


def test_odd_pictures_are_converted_and_undecodable_ones_left_out_by_name(tmp_path, capsys):
    oddities = write_odd_pictures(tmp_path / "in" / "train" / "red")
    reasons = write_undecodable(tmp_path / "in" / "train" / "broken")
    write_photograph(tmp_path / "in" / "train" / "broken" / "whole.jpg", 0)
    for name in ("red", "broken"):
        (tmp_path / "in" / "val" / name).mkdir(parents=True)
        write_photograph(tmp_path / "in" / "val" / name / "whole.jpg", 0)
    main([str(tmp_path / "in"), str(tmp_path / "out"), "--size", "16", "--processes", "2"])
    output = capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    shards = [shard for split in manifest["shards"].values() for shard in split]
    odd = {name: words for shard in shards for name, words in shard["odd"].items()}
    assert odd == {f"train/red/{name}": words for name, words in oddities.items()}
    assert manifest["oddities"] == dict.fromkeys(
        [w for words in oddities.values() for w in words], 1
    )
    left_out = {name: reason for shard in shards for name, reason in shard["left_out"].items()}
    assert left_out.keys() == {f"train/broken/{name}" for name in reasons}
    for name, reason in reasons.items():
        assert left_out[f"train/broken/{name}"].startswith(reason)
        assert f"  train/broken/{name} {reason}" in output
    assert "left out: 5" in output
    assert "1 CMYK, 1 PNG named .JPEG" in output
    listed = json.loads((tmp_path / "out" / "labels.json").read_text())["train"]
    assert listed == [[r["name"], r["label"]] for r in records(tmp_path / "out")]
    for record in records(tmp_path / "out"):
        gray = {"gray.JPEG": (82, 82, 82), "deep.png": (200, 200, 200)}
        if record["label"] == 1:
            color = gray.get(Path(record["name"]).name, RED)
            assert abs(picture(record).astype(int) - color).max() < 12, record["name"]


def test_the_loader_benchmark_reads_the_folder_and_its_shards(prepared, tree, tmp_path):
    prepare(options(tree, tmp_path / "raw", encoding="raw"))
    arguments = argparse.Namespace(
        records=prepared, folder=tree, raw=tmp_path / "raw", images=9, batch_size=4, threads=[1]
    )
    readers = loader.all_readers(arguments)
    for name in ("folder, plain Pillow loop", "folder, by index", "JPEG shards, by index"):
        assert readers[name]().images == 8  # every third of 24
    assert readers["raw shards, by index"]().images == 8
    total = sum(path.stat().st_size for path in prepared.glob("*.array_record"))
    assert f"jpeg of 16 x 16, {total / 29:,.0f} bytes a picture; " in loader.disk_size(prepared)
    for change in ({"records": tmp_path / "raw"}, {"raw": prepared}):
        with pytest.raises(BadInput, match=r"holds (raw|jpeg) records, not (raw|jpeg) ones"):
            loader.all_readers(argparse.Namespace(**(vars(arguments) | change)))
