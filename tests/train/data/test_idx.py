"""Files in MNIST's format, and the digits in the package."""

import gzip
import struct

import numpy as np
import pytest

from train.config.errors import BadInput
from train.data.dataset import DIGITS, open_data
from train.data.formats import idx


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_gzipped_or_not(tmp_path, rng, ending):
    images = rng.integers(0, 256, (5, 4, 6), np.uint8)
    write_idx(tmp_path / f"x{ending}", images)
    np.testing.assert_array_equal(idx.read_array(tmp_path / f"x{ending}"), images)


def test_the_embedded_digits_are_5000_and_1000_of_ten_classes():
    data = open_data(None, "auto", 28)
    assert (len(data.train), len(data.test)) == (5000, 1000)
    assert data.class_names == tuple("0123456789")
    example = data.train[0]
    assert example["image"].shape == (28, 28, 3)
    assert example["image"].dtype == np.uint8
    assert sum(path.stat().st_size for path in DIGITS.iterdir()) < 1.5e6


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"abcd", "not an IDX file of bytes"),
        (b"\0\0\x08\x01" + struct.pack(">I", 5) + b"abc", "should hold 5 bytes of data"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path, data, words):
    (tmp_path / "broken").write_bytes(data)
    with pytest.raises(BadInput, match=f"broken .*{words}"):
        idx.read_array(tmp_path / "broken")


def test_a_truncated_gzip_file_is_named(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(BadInput, match=r"x.gz cannot be read"):
        idx.read_array(tmp_path / "x.gz")


def test_idx_images_of_another_size_are_resized(tmp_path):
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images.idx3-ubyte", np.full((2, 10, 20), 7, np.uint8))
        write_idx(tmp_path / f"{split}-labels.idx1-ubyte", np.array([0, 2], np.uint8))
    data = open_data(tmp_path, "auto", 16)
    assert data.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(data.train[1]["image"], np.full((16, 16, 3), 7))


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([0, 1, 2, 1], [0, 1, 2, 9], "test image 3 has the label 9, and no train image has it"),
        ([0, 1, 255, 1], [0, 1, 1, 1], "train image 2 has the label 255, and no test image"),
    ],
)
def test_a_label_that_one_split_lacks_is_named(tmp_path, train, test, words):
    for split, labels in {"train": train, "t10k": test}.items():
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.zeros((4, 9, 9), np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.array(labels, np.uint8))
    with pytest.raises(BadInput, match=words):
        open_data(tmp_path, "auto", 9)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_few_bytes_do_not_fill_the_memory(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(idx, "MAX_BYTES", 10**6)
    write_idx(tmp_path / f"x{ending}", np.zeros((1000, 1000), np.uint8))
    with pytest.raises(BadInput, match="holds more than 1,000,000 bytes"):
        idx.read_array(tmp_path / f"x{ending}")
