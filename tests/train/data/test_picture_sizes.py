"""The size of a data set's pictures, from headers alone."""

import gzip
import json
import os
import struct

import numpy as np
import pytest
from PIL import Image

from tests.support.prepared import options
from train.data.dataset import DIGITS
from train.data.picture_sizes import measure_pictures
from train.data.preparation.prepare import prepare


def write_pictures(folder, *sizes):
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (number, 0, 0)).save(folder / f"{number:03}.png")


def test_the_median_is_that_of_the_shorter_sides_of_all_classes(tmp_path):
    write_pictures(tmp_path / "train" / "cat", (300, 200), (50, 90), (64, 64))
    write_pictures(tmp_path / "train" / "dog", (500, 120), (70, 700))
    write_pictures(tmp_path / "test" / "cat", (10, 400))
    assert measure_pictures(tmp_path) == (np.median([200, 50, 64, 120, 70, 10]), 6)


def test_headers_are_read_and_pixels_are_not(tmp_path):
    """A file that ends after its header has a size; what has no header does not count."""
    write_pictures(tmp_path / "cat", (300, 200), (90, 100))
    write_pictures(tmp_path / "dog", (80, 100))
    path = tmp_path / "cat" / "000.png"
    path.write_bytes(path.read_bytes()[:60])
    (tmp_path / "dog" / "text.png").write_text("not a picture")
    (tmp_path / "dog" / "notes.txt").write_text("no picture either")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    (tmp_path / "dog" / "dangling.png").symlink_to("nowhere.png")
    assert measure_pictures(tmp_path) == (90, 3)


def test_a_sample_of_many_pictures_is_opened(tmp_path, monkeypatch):
    write_pictures(tmp_path / "cat", *[(20, 20)] * 25)
    write_pictures(tmp_path / "dog", *[(100, 100)] * 75)
    monkeypatch.setattr("train.data.picture_sizes._OPENED", 20)
    assert measure_pictures(tmp_path) == (100, 20)
    monkeypatch.setattr("train.data.picture_sizes._LISTED", 10)
    assert measure_pictures(tmp_path).pictures == 10


def test_pictures_behind_a_link_are_measured(tmp_path):
    write_pictures(tmp_path / "elsewhere", (90, 80))
    write_pictures(tmp_path / "data" / "cat", (60, 70))
    (tmp_path / "data" / "dog").symlink_to("../elsewhere")
    assert measure_pictures(tmp_path / "data") == (70, 2)


def test_records_have_the_size_of_their_manifest(tmp_path):
    for name in ("cat", "dog"):
        write_pictures(tmp_path / "source" / name, *[(90, 80)] * 3)
    prepare(options(tmp_path / "source", tmp_path / "records", size=48, labels=None))
    assert measure_pictures(tmp_path / "records").median == 48
    path = tmp_path / "records" / "manifest.json"
    assert json.loads(path.read_text())["settings"]["size"] == 48


@pytest.mark.parametrize(("suffix", "opener"), [("", open), (".gz", gzip.open)])
def test_idx_files_state_the_size_in_their_header(tmp_path, suffix, opener):
    with opener(tmp_path / f"train-images-idx3-ubyte{suffix}", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", 1000, 96, 64))  # and no pixels
    assert measure_pictures(tmp_path).median == 64


def test_the_digits_have_28_pixels_and_cifar_32(tmp_path):
    assert measure_pictures(DIGITS).median == 28
    (tmp_path / "data_batch_1.bin").touch()
    assert measure_pictures(tmp_path).median == 32


def test_a_folder_without_pictures_has_no_size(tmp_path):
    assert measure_pictures(tmp_path) is None
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    assert measure_pictures(tmp_path) is None
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    assert measure_pictures(tmp_path) is None
