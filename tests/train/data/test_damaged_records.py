"""Damaged shards, manifests and lists of records are named."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.formats import records

TRAIN = "train-00001-of-00003.array_record"


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


def flip_a_byte(data):
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: (d / TRAIN).unlink(), f"{TRAIN} is missing"),
        (lambda d: rewrite(d / TRAIN, lambda b: b""), f"{TRAIN} is damaged: it holds 0 bytes"),
        (lambda d: rewrite(d / TRAIN, lambda b: b[:-9]), f"{TRAIN} is damaged: it holds 1"),
        (lambda d: rewrite(d / TRAIN, flip_a_byte), f"{TRAIN} is damaged: its SHA-256"),
        (lambda d: shutil.copy(d / TRAIN.replace("1", "0", 1), d / TRAIN), f"{TRAIN} is damaged"),
    ],
)
def test_a_damaged_shard_is_named_before_the_first_step(out, damage, words):
    damage(out)
    with pytest.raises(BadInput, match=words) as caught:
        open_data(out, "auto", 32)
    assert str(out) in str(caught.value)


def test_in_a_large_set_a_damaged_record_is_named_when_it_is_read(out, monkeypatch):
    monkeypatch.setattr(records, "_DIGEST_BYTES", 0)
    rewrite(out / TRAIN, flip_a_byte)
    train = open_data(out, "auto", 32).train
    with pytest.raises(BadInput, match=f"{out / TRAIN} is damaged: Corrupted"):
        [train[index] for index in range(24)]


def write_shard(path, *contents):
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in contents:
        writer.write(record)
    writer.close()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"no map", "is damaged"),
        (records.pack_record("x.jpg", 3, "jpeg", b""), "has a picture of class 3, of 3 classes"),
        (records.pack_record("x.jpg", 0, "jpeg", b"no JPEG"), "x.jpg is not a picture"),
    ],
)
def test_an_invalid_record_is_named(out, monkeypatch, record, words):
    monkeypatch.setattr(records, "_DIGEST_BYTES", 0)
    path = out / "test-00000-of-00001.array_record"
    write_shard(path, *[record] * 3)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["shards"]["test"][0]["bytes"] = path.stat().st_size
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=words) as caught:
        open_data(out, "auto", 32).test[0]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: "{", "manifest.json cannot be read"),
        (lambda m: json.dumps(m | {"kind": "other"}), "manifest.json is of the kind 'other', not"),
        (lambda m: json.dumps(m | {"classes": m["classes"][:2]}), "manifest.json is damaged"),
        (lambda m: json.dumps(m | {"shards": {}}), "manifest.json is damaged"),
        (lambda m: json.dumps(m | {"settings": {}}), "manifest.json is damaged"),
        (lambda m: json.dumps(m | {"statistics": {}}), "manifest.json is damaged"),
        (lambda m: json.dumps(m | {"words": ["daisy"]}), "manifest.json is damaged"),
        (lambda m: json.dumps(m).replace("mean.npy", "../x.npy"), "manifest.json is damaged"),
        (lambda m: json.dumps(m).replace(TRAIN, f"../{TRAIN}"), "manifest.json is damaged"),
        (lambda m: json.dumps(m).replace('"pictures": 8', '"pictures": 9'), "is damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(out, change, words):
    path = out / "manifest.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(BadInput, match=words):
        open_data(out, "auto", 32)


def test_a_shard_with_fewer_records_than_the_manifest_counts_is_named(out, monkeypatch):
    monkeypatch.setattr(records, "_DIGEST_BYTES", 0)
    path = out / TRAIN
    size = path.stat().st_size
    reader = ArrayRecordReader(str(path))
    write_shard(path, *reader.read_all()[:-1])
    assert path.stat().st_size == size  # files are padded
    with pytest.raises(BadInput, match=f"{TRAIN} holds 7 records, and the manifest says 8"):
        open_data(out, "auto", 32)


def test_a_manifest_of_another_program_does_not_make_a_folder_of_records(class_folders, tmp_path):
    shutil.copytree(class_folders, tmp_path / "tree")
    (tmp_path / "tree" / "manifest.json").write_text('{"name": "a web page"}')
    assert len(open_data(tmp_path / "tree", "auto", 32).train) == 24


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "labels.json is missing; train.prepare writes it again"),
        (lambda path: rewrite(path, lambda b: b[:-9]), "labels.json is damaged: its SHA-256 is"),
        (lambda path: rewrite(path, lambda b: b.replace(b",0]", b",1]")), "labels.json is damaged"),
    ],
)
def test_a_damaged_list_of_labels_is_named(out, damage, words):
    damage(out / "labels.json")
    with pytest.raises(BadInput, match=words):
        open_data(out, "auto", 32).train.labeled_names()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": [["x.jpg", 0]]}, "lists 1 train pictures, and holds 24; train.prepare mends it"),
        ({"train": [["x.jpg", 3]] * 24}, "has a picture of class 3, of 3 classes"),
        ({"train": [["x.jpg", True]] * 24}, "labels.json is damaged"),
        ({"train": [[7, 0]] * 24}, "labels.json is damaged"),
        ({"train": [["x.jpg"]] * 24}, "labels.json is damaged"),
        ({"train": 7}, "labels.json is damaged"),
        ([], "labels.json is damaged"),
    ],
)
def test_a_list_of_labels_that_somebody_else_made_is_checked(out, content, words):
    data = json.dumps(content).encode()
    (out / "labels.json").write_bytes(data)
    values = json.loads((out / "manifest.json").read_text())
    values["labels"] = hashlib.sha256(data).hexdigest()
    (out / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=words):
        open_data(out, "auto", 32).train.labeled_names()


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_statistics_of_records_are_named(out, damage):
    (out / "mean.npy").unlink()
    if damage == "changed":
        np.save(out / "mean.npy", np.zeros((32, 32, 3), np.float32))
    with pytest.raises(BadInput, match=r"mean.npy or colours.npy in .* is missing or damaged"):
        open_data(out, "auto", 32)
