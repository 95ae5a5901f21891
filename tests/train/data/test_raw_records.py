"""Records of raw pixels: the pictures of the folder to the bit, with all that JPEG records have."""

import io
import json
import re
import shutil
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import run
from tests.support.photographs import write_odd_pictures, write_photograph, write_undecodable
from tests.support.prepared import contents, records
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.formats.image_file import BadPicture
from train.data.formats.image_resize import RULES
from train.data.formats.records import decode_record, pack_record, unpack_record
from train.data.preparation import out_folder
from train.data.preparation.prepare import PrepareOptions, prepare

SIZE = 32
DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """PNG and JPEG photographs, odd pictures and undecodable ones, of two classes."""
    root = tmp_path_factory.mktemp("source")
    for part, count in (("train", 7), ("test", 2)):
        for name in ("a", "b"):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                ending = "png" if i % 2 else "jpg"
                path = root / part / name / f"{i}.{ending}"
                write_photograph(path, 10 * i + (name == "b"), (60 + i, 50))
    write_odd_pictures(root / "train" / "b" / "odd")
    write_undecodable(root / "train" / "a")
    return root


def options(root, out, **changes):
    return PrepareOptions(source=root, out=out, **({"size": SIZE, "shard_size": 6} | changes))


@pytest.fixture(scope="module")
def raw(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("raw") / "out"
    prepare(options(tree, out, encoding="raw"))
    return out


@pytest.fixture(scope="module")
def jpeg(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("jpeg") / "out"
    prepare(options(tree, out, encoding="jpeg"))
    return out


def by_name(source):
    """The image and the label of each picture that can be decoded."""
    examples = {}
    for i in range(len(source)):
        try:
            examples[source.name(i)] = source[i]
        except BadPicture:
            continue
    return examples


@pytest.mark.parametrize("split", ["train", "test"])
def test_raw_records_are_the_pictures_of_the_folder_to_the_bit(raw, tree, split):
    recorded = by_name(getattr(open_data(raw, "auto", SIZE), split))
    folder = by_name(getattr(open_data(tree, "folder", SIZE), split))
    folder = {f"{split}/{name.removeprefix(f'{split}/')}": e for name, e in folder.items()}
    assert recorded.keys() == folder.keys()
    for name, example in folder.items():
        assert recorded[name]["label"] == example["label"]
        np.testing.assert_array_equal(recorded[name]["image"], example["image"], name)


def test_jpeg_records_are_the_raw_ones_written_as_jpeg_and_read_again(raw, jpeg):
    raws, jpegs = (by_name(open_data(out, "auto", SIZE).train) for out in (raw, jpeg))
    assert raws.keys() == jpegs.keys()
    for name, example in raws.items():
        data = io.BytesIO()
        Image.fromarray(example["image"]).save(data, "JPEG", quality=95)
        np.testing.assert_array_equal(jpegs[name]["image"], np.asarray(Image.open(data)), name)


def test_raw_records_have_the_order_the_oddities_and_the_gaps_of_jpeg_records(raw, jpeg):
    data = [json.loads((out / "manifest.json").read_text()) for out in (raw, jpeg)]
    for key in ("classes", "by_class", "oddities", "labels"):
        assert data[0][key] == data[1][key], key
    assert (raw / "labels.json").read_bytes() == (jpeg / "labels.json").read_bytes()
    for one, other in zip(*(d["shards"]["train"] for d in data), strict=True):
        assert (one["odd"], one["left_out"]) == (other["odd"], other["left_out"])
    assert sum(len(shard["left_out"]) for shard in data[0]["shards"]["train"]) == 5
    assert [record["name"] for record in records(raw)] == [r["name"] for r in records(jpeg)]


def test_a_raw_record_holds_the_pixels_row_by_row(raw):
    record = records(raw)[0]
    assert record.keys() == {"name", "label", "raw"}
    example = open_data(raw, "auto", SIZE).train[0]
    assert record["raw"] == example["image"].tobytes()
    assert len(record["raw"]) == SIZE * SIZE * 3


def test_the_statistics_are_those_of_the_raw_pixels(raw):
    source = open_data(raw, "auto", SIZE).train
    images = np.stack([source[i]["image"] for i in range(len(source))])
    np.testing.assert_allclose(np.load(raw / "mean.npy"), images.mean(axis=0), rtol=1e-6)


def test_raw_records_are_resized_to_a_smaller_size(raw):
    whole, small = (open_data(raw, "auto", size).train[3]["image"] for size in (SIZE, 20))
    np.testing.assert_array_equal(small, RULES["crop"](Image.fromarray(whole), 20))


@pytest.mark.parametrize("damage", ["missing", "flipped", "unfinished"])
def test_a_folder_of_raw_records_is_completed_and_repaired(raw, tree, tmp_path, damage):
    out = shutil.copytree(raw, tmp_path / "out")
    path = out / "train-00001-of-00005.array_record"
    if damage == "flipped":
        data = path.read_bytes()
        path.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    else:
        path.unlink()
    if damage == "unfinished":  # as a kill leaves a folder: a journal and half a shard
        values = json.loads((out / "manifest.json").read_text())
        shards = [shard for split in values["shards"].values() for shard in split]
        lines = [values["settings"], *(s for s in shards if s["file"] != path.name)]
        (out / "unfinished.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        path.with_name(f"{path.name}.123").write_bytes(b"half")
        for name in ("manifest.json", "labels.json", "mean.npy"):
            (out / name).unlink()
    prepare(options(tree, out, encoding="raw", processes=2))
    assert contents(out) == contents(raw)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_a_folder_keeps_its_encoding(raw, jpeg, tree, encoding):
    out, other = (jpeg, "jpeg") if encoding == "raw" else (raw, "raw")
    before = contents(out)
    with pytest.raises(BadInput, match=f"begun with the encoding {other}, not {encoding}; name an"):
        prepare(options(tree, out, encoding=encoding))
    assert contents(out) == before


def test_records_made_before_there_were_encodings_are_jpegs(jpeg, tree, tmp_path):
    out = shutil.copytree(jpeg, tmp_path / "out")
    values = json.loads((out / "manifest.json").read_text())
    del values["settings"]["encoding"]
    assert values["kind"].startswith("ArrayRecord shards of JPEG pictures, by python -m train.prep")
    (out / "manifest.json").write_text(json.dumps(values))
    old, new = (by_name(open_data(folder, "auto", SIZE).train) for folder in (out, jpeg))
    for name in new:
        np.testing.assert_array_equal(old[name]["image"], new[name]["image"])
    prepare(options(tree, out))
    assert contents(out) == contents(jpeg)


@pytest.mark.parametrize("change", [{"encoding": "jpeg"}, {"encoding": "png"}, {"encoding": [1]}])
def test_a_manifest_whose_kind_is_of_another_encoding_is_damaged(raw, tmp_path, change):
    out = shutil.copytree(raw, tmp_path / "out")
    values = json.loads((out / "manifest.json").read_text())
    assert "JPEG" not in values["kind"]  # by which a program that knows JPEGs alone refuses it
    values["settings"] |= change
    (out / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=r"manifest.json is damaged"):
        open_data(out, "auto", SIZE)


def test_a_raw_record_of_another_size_is_a_bad_picture_that_is_named(tmp_path):
    record = unpack_record(pack_record("x.png", 0, "raw", bytes(3 * 16 * 16)))
    assert decode_record(record, 16, tmp_path).shape == (16, 16, 3)
    words = f"{tmp_path}: x.png cannot be decoded: it holds 768 bytes, not 17 x 17 x 3"
    with pytest.raises(BadPicture, match=re.escape(words)):
        decode_record(record, 17, tmp_path)


def test_raw_records_that_do_not_fit_on_the_disk_are_refused(tree, tmp_path, monkeypatch, capsys):
    usage = DiskUsage(10**12, 0, 0)
    monkeypatch.setattr(out_folder.shutil, "disk_usage", lambda path: usage)
    words = f"31 raw pictures of 16384 x 16384 take 25.0 GB, and {tmp_path}/out has room for 0.0 GB"
    with pytest.raises(BadInput, match=words):
        prepare(options(tree, tmp_path / "out", encoding="raw", size=2**14))
    usage = DiskUsage(10**12, 0, 10**10)
    prepare(options(tree, tmp_path / "out", encoding="raw"))
    assert "31 raw pictures of 32 x 32 take 0.0 GB; " in capsys.readouterr().out
    usage = DiskUsage(10**12, 0, 0)
    prepare(options(tree, tmp_path / "out", encoding="raw"))  # all of them are there
    assert "raw pictures" not in capsys.readouterr().out


def test_records_are_not_made_from_records(raw, tmp_path):
    with pytest.raises(BadInput, match="holds records; shards are made from the pictures themse"):
        prepare(options(raw, tmp_path / "out", encoding="jpeg"))


def test_a_run_and_its_evaluation_read_raw_records(raw, tmp_path):
    flags = ["--data", raw, "--net", "benchmarks.tiny_net:TINY", "--epochs", 1, "--batch-size", 8]
    done = run("train.main", *flags, "--run-dir", tmp_path / "run", "--validation", 0.3)
    assert done.returncode == 0, done.stderr
    assert "7 of 22 training images, drawn by class and seed" in done.stdout
    done = run("train.evaluate", tmp_path / "run", "--json", tmp_path / "errors.json")
    assert done.returncode == 0, done.stderr
