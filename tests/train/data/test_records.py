"""Records as a source of training images."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from alexnet_jax import architectures
from tests.support.photographs import write_photograph
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


def test_a_folder_of_records_is_opened_as_a_data_set(class_records, class_folders):
    data, folder = open_data(class_records, "auto", 32), open_data(class_folders, "auto", 32)
    assert data.record() == folder.record()
    examples = [data.train[index] for index in range(24)]
    assert sorted(example["label"] for example in examples) == [0] * 8 + [1] * 8 + [2] * 8
    for example in [folder.train[index] for index in range(24)]:
        alike = [
            e for e in examples if np.abs(e["image"] - example["image"].astype(int)).mean() < 3
        ]
        assert [e["label"] for e in alike] == [example["label"]]  # equal up to JPEG losses
    assert [data.test[index]["label"] for index in range(3)] == [0, 1, 2]


def test_records_are_read_by_grains_threads_in_an_order_that_can_be_resumed(class_records):
    source = open_data(class_records, "records", 32).train

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


def test_records_are_resized_to_the_requested_size(class_records):
    whole, small = (open_data(class_records, "auto", size).train[5]["image"] for size in (32, 16))
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


def test_a_run_saves_the_stored_size_that_its_records_imply(class_records, tmp_path):
    data = open_data(class_records, "auto", 25)
    config = Config().replace(
        net="SCALED_8_113", data=class_records, stored_size=None, run_dir=tmp_path
    )
    with pytest.raises(BadInput, match="32 pixels"):
        open_run(config, data)
    config = open_run(config.replace(net="DIGITS"), data)
    assert config.recipe.stored_size == 28
    record_run(config, data, Arithmetic(0, "cpu", "float32"))
    assert json.loads((tmp_path / "config.json").read_text())["config"]["stored_size"] == 28


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
def test_a_run_on_records_takes_their_statistics(class_records, tmp_path, mean):
    data = open_data(class_records, "auto", 32)
    data = dataclasses.replace(data, train=ReadOnce(data.train))
    statistics = load_or_measure_statistics(tmp_path, data, mean=mean)
    stored_mean = np.load(class_records / "mean.npy")
    expected = stored_mean
    if mean == "channel":
        expected = np.stack(
            [np.full((32, 32), stored_mean[..., i].astype(float).mean()) for i in range(3)], -1
        )
    np.testing.assert_allclose(statistics.mean, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "mean.npy"), statistics.mean)
    variances, *colors = np.load(class_records / "colours.npy")
    np.testing.assert_array_equal(statistics.variances, variances)
    np.testing.assert_array_equal(statistics.components, colors)


def test_statistics_of_records_are_not_used_at_another_size(class_records):
    assert open_data(class_records, "auto", 16).statistics is None


def in_the_records(source):
    """The name and the label of each record, from the record itself."""
    return [(source.name(i), source[i]["label"]) for i in range(len(source))]


@pytest.mark.parametrize("split", ["train", "test"])
def test_names_and_labels_are_listed_so_that_no_record_is_read_for_them(class_records, split):
    source = getattr(open_data(class_records, "auto", 32), split)
    expected = in_the_records(source)
    source.records = None
    assert source.labeled_names() == expected


def test_records_without_the_list_are_read_for_their_labels_until_prepare_adds_it(
    out, class_folders, monkeypatch, capsys
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
    prepare(PrepareOptions(source=class_folders, out=out, size=32, shard_size=10))
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
