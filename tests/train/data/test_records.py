"""Records as a source of training images."""

import dataclasses
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image

from alexnet_jax import architectures
from tests.support.photographs import SYNSETS, write_ilsvrc, write_photograph
from train.config.config import Config
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.formats import image_file, records
from train.data.formats.image_file import BadPicture, decode_jpeg
from train.data.pipeline import evaluation_batches, train_batches
from train.data.preparation.prepare import PrepareOptions, prepare
from train.data.stored_size import stored_size
from train.run_dir.folder import load_or_measure_statistics, open_run, record_run
from train.runtime.arithmetic import Arithmetic


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Pictures of three classes, 8 to train on and one to test on in each."""
    root = tmp_path_factory.mktemp("source")
    write_ilsvrc(root)
    shutil.rmtree(root / "val")
    for name in SYNSETS:
        (root / "val" / name).mkdir(parents=True)
        write_photograph(root / "val" / name / "0.JPEG", 7)
    return root


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """The pictures of `tree` as 32 x 32 records in shards of ten."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare(PrepareOptions(source=tree, out=out, size=32, shard_size=10))
    return out


@pytest.fixture
def out(prepared, tmp_path):
    """A copy of `prepared` that a test may damage."""
    return shutil.copytree(prepared, tmp_path / "out")


def test_a_folder_of_records_is_opened_as_a_data_set(prepared, tree):
    data, folder = open_data(prepared, "auto", 32), open_data(tree, "auto", 32)
    assert data.record() == folder.record()
    examples = [data.train[index] for index in range(24)]
    assert sorted(example["label"] for example in examples) == [0] * 8 + [1] * 8 + [2] * 8
    for example in [folder.train[index] for index in range(24)]:
        alike = [
            e for e in examples if np.abs(e["image"] - example["image"].astype(int)).mean() < 3
        ]
        assert [e["label"] for e in alike] == [example["label"]]  # equal up to JPEG losses
    assert [data.test[index]["label"] for index in range(3)] == [0, 1, 2]


def test_records_are_read_by_grains_threads_in_an_order_that_can_be_resumed(prepared):
    source = open_data(prepared, "records", 32).train

    def draw(position, count):
        iterator = train_batches(
            source, batch_size=5, seed=3, position=5 * position, threads=3, prefetch=2
        )
        batches = [next(iterator) for _ in range(count)]
        iterator.close()
        return batches

    whole, later = draw(0, 9), draw(4, 5)
    for one, other in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])
    assert (whole[0]["image"].dtype, whole[0]["image"].shape) == (np.uint8, (5, 32, 32, 3))
    [batch] = evaluation_batches(source, batch_size=24, threads=3, prefetch=2)
    assert sorted(batch["label"]) == [0] * 8 + [1] * 8 + [2] * 8


def test_records_are_resized_to_the_requested_size(prepared):
    whole, small = (open_data(prepared, "auto", size).train[5]["image"] for size in (32, 16))
    assert small.shape == (16, 16, 3)
    mean_of_four = whole.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - mean_of_four).mean() < 3


def test_the_stored_size_follows_the_records_without_enlarging_them(out):
    def stored(net, size, asked=None):
        manifest = json.loads((out / "manifest.json").read_text())
        manifest["settings"]["size"] = size
        (out / "manifest.json").write_text(json.dumps(manifest))
        config = Config().replace(net=net, data=out, stored_size=asked)
        return stored_size(config, architectures.by_name(net))

    assert stored("PAPER", 256) == 256
    assert stored("CAFFE", 256) == 256  # and not 8/7 of 227
    assert stored("PAPER", 300) == 256
    assert stored("SCALED_8_113", 256) == 130
    assert stored("PAPER", 128, asked=256) == 256
    with pytest.raises(BadInput, match="holds pictures of 128 pixels, and PAPER's input has 224"):
        stored("PAPER", 128)


def test_a_run_saves_the_stored_size_that_its_records_imply(prepared, tmp_path):
    data = open_data(prepared, "auto", 25)
    config = Config().replace(net="SCALED_8_113", data=prepared, stored_size=None, run_dir=tmp_path)
    with pytest.raises(BadInput, match="32 pixels"):
        open_run(config, data)
    config = open_run(config.replace(net="DIGITS"), data)
    assert config.recipe.stored_size == 28
    record_run(config, data, Arithmetic(0, "cpu", "float32"))
    assert json.loads((tmp_path / "config.json").read_text())["config"]["stored_size"] == 28


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


def test_a_manifest_of_another_program_does_not_make_a_folder_of_records(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree")
    (tmp_path / "tree" / "manifest.json").write_text('{"name": "a web page"}')
    assert len(open_data(tmp_path / "tree", "auto", 32).train) == 24


def test_both_decoders_give_the_same_bytes_and_the_same_errors(monkeypatch, rng):
    simplejpeg = pytest.importorskip("simplejpeg")
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save(data, "JPEG", quality=95)
    cmyk = io.BytesIO()
    Image.new("CMYK", (9, 9), (0, 200, 30, 4)).save(cmyk, "JPEG")
    images, messages = [], []
    for decoder in (None, simplejpeg):
        monkeypatch.setattr(image_file, "simplejpeg", decoder)
        images.append([decode_jpeg(jpeg.getvalue(), "x") for jpeg in (data, cmyk)])
        with pytest.raises(BadPicture) as caught:
            decode_jpeg(data.getvalue()[:-200], "x")
        messages.append(str(caught.value))
    for one, other in zip(*images, strict=True):
        np.testing.assert_array_equal(one, other)
    assert messages[0] == messages[1]


class ReadOnce:
    """A source that allows a single read, for the size of its images."""

    def __init__(self, source):
        self.source, self.reads = source, 0

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        self.reads += 1
        assert self.reads == 1
        return self.source[index]


@pytest.mark.parametrize("mean", ["image", "channel"])
def test_a_run_on_records_takes_their_statistics(prepared, tmp_path, mean):
    data = open_data(prepared, "auto", 32)
    data = dataclasses.replace(data, train=ReadOnce(data.train))
    statistics = load_or_measure_statistics(tmp_path, data, mean=mean)
    stored_mean = np.load(prepared / "mean.npy")
    expected = stored_mean
    if mean == "channel":
        expected = np.stack(
            [np.full((32, 32), stored_mean[..., i].astype(float).mean()) for i in range(3)], -1
        )
    np.testing.assert_allclose(statistics.mean, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "mean.npy"), statistics.mean)
    variances, *colors = np.load(prepared / "colours.npy")
    np.testing.assert_array_equal(statistics.variances, variances)
    np.testing.assert_array_equal(statistics.components, colors)


def test_statistics_of_records_are_not_used_at_another_size(prepared):
    assert open_data(prepared, "auto", 16).statistics is None


def in_the_records(source):
    """The name and the label of each record, from the record itself."""
    return [(source.name(i), source[i]["label"]) for i in range(len(source))]


@pytest.mark.parametrize("split", ["train", "test"])
def test_names_and_labels_are_listed_so_that_no_record_is_read_for_them(prepared, split):
    source = getattr(open_data(prepared, "auto", 32), split)
    expected = in_the_records(source)
    source.records = None
    assert source.labeled_names() == expected


def test_records_without_the_list_are_read_for_their_labels_until_prepare_adds_it(
    out, tree, monkeypatch, capsys
):
    values = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({k: values[k] for k in values if k != "labels"}))
    (out / "labels.json").unlink()
    source = open_data(out, "auto", 32).train
    assert source.labeled_names() == in_the_records(source)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(records, "_ANNOUNCED", 24)
    source.labeled_names()
    assert capsys.readouterr().out == (
        f"reading 24 records for their labels, of which {out} has no list; the same train.prepare "
        "command, run again, adds one\n"
    )
    prepare(PrepareOptions(source=tree, out=out, size=32, shard_size=10))
    assert json.loads((out / "manifest.json").read_text()) == values
    assert open_data(out, "auto", 32).train.labeled_names() == in_the_records(source)


def test_the_name_of_a_picture_that_is_no_utf8_is_listed_as_it_was(tmp_path):
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "in" / part / name).mkdir(parents=True)
            write_photograph(tmp_path / "in" / part / name / "gr\udcfcn\n]],.jpg", 0)
    prepare(PrepareOptions(source=tmp_path / "in", out=tmp_path / "out", size=16))
    source = open_data(tmp_path / "out", "auto", 16).train
    assert source.labeled_names() == in_the_records(source)
    assert "train/a/gr\udcfcn\n]],.jpg" in dict(source.labeled_names())


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
