"""Sources, pictures and the pipeline."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from train.config import BadInput
from train.data import idx
from train.data.pictures import read_picture
from train.data.pipeline import FILLER, evaluation_batches, train_batches
from train.data.sources import DIGITS, open_data
from train.data.statistics import image_statistics
from train.run_folder import statistics_of


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_gzipped_or_not(tmp_path, rng, ending):
    images = rng.integers(0, 256, (5, 4, 6), np.uint8)
    write_idx(tmp_path / f"x{ending}", images)
    np.testing.assert_array_equal(idx.read(tmp_path / f"x{ending}"), images)


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
        idx.read(tmp_path / "broken")


def test_a_cut_off_gzip_file_is_named(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(BadInput, match=r"x.gz cannot be read"):
        idx.read(tmp_path / "x.gz")


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
def test_a_label_that_one_of_both_sets_lacks_is_named(tmp_path, train, test, words):
    for split, labels in {"train": train, "t10k": test}.items():
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.zeros((4, 9, 9), np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.array(labels, np.uint8))
    with pytest.raises(BadInput, match=words):
        open_data(tmp_path, "auto", 9)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_few_bytes_do_not_fill_the_memory(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(idx, "MOST_BYTES", 10**6)
    write_idx(tmp_path / f"x{ending}", np.zeros((1000, 1000), np.uint8))
    with pytest.raises(BadInput, match="holds more than 1,000,000 bytes"):
        idx.read(tmp_path / f"x{ending}")


RED = (200, 30, 40)


def save(path, mode, **options):
    Image.new("RGB", (40, 30), RED).convert(mode).save(path, **options)


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("a.png", "RGB", RED),
        ("a.png", "P", RED),
        ("a.png", "RGBA", RED),
        ("a.jpg", "CMYK", RED),
        ("a.png", "L", (82, 82, 82)),  # ITU-R 601: 0.299 R + 0.587 G + 0.114 B
        ("a.png", "1", None),
        ("a.gif", "P", RED),
        ("a.webp", "RGB", RED),
    ],
)
def test_a_picture_of_any_mode_becomes_rgb(tmp_path, name, mode, expected):
    save(tmp_path / name, mode)
    picture = read_picture(tmp_path / name, 16)
    assert picture.shape == (16, 16, 3)
    assert picture.dtype == np.uint8
    if expected:
        assert abs(picture.astype(int) - expected).max() <= 12  # palettes and JPEG round


def test_sixteen_bits_of_gray_keep_their_upper_eight(tmp_path):
    Image.fromarray(np.full((9, 9), 200 * 256 + 7, np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png", 9), np.full((9, 9, 3), 200))


def test_what_is_transparent_becomes_white(tmp_path):
    clear = np.zeros((9, 9, 4), np.uint8)
    clear[:, :5] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    picture = read_picture(tmp_path / "clear.png", 9)
    np.testing.assert_array_equal(picture[:, :5], np.full((9, 5, 3), (10, 20, 30)))
    np.testing.assert_array_equal(picture[:, 5:], np.full((9, 4, 3), 255))


def test_a_rotation_noted_by_the_camera_is_applied(tmp_path):
    upright = np.zeros((24, 24, 3), np.uint8)
    upright[:12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the top of the scene is at the right of the file
    lying = Image.fromarray(np.rot90(upright).copy())
    lying.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png", 24), upright)


def test_the_shorter_side_is_brought_to_size_and_the_centre_cut_out(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "wide.png", 10), np.full((10, 10, 3), 255)
    )


def test_a_long_thin_picture_costs_no_more_than_its_square(tmp_path):
    Image.new("RGB", (20000, 1), RED).save(tmp_path / "thin.png")
    picture = read_picture(tmp_path / "thin.png", 256)
    np.testing.assert_array_equal(picture, np.full((256, 256, 3), RED))


@pytest.mark.parametrize(
    ("values", "gray"),
    [(np.float32(0.5), 127), (np.float32(99), 99), (np.int32(99), 99), (np.int32(51200), 200)],
)
def test_wide_gray_is_read_by_its_range(tmp_path, values, gray):
    Image.fromarray(np.full((9, 9), values)).save(tmp_path / "wide.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "wide.tif", 9), np.full((9, 9, 3), gray))


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    folder(tmp_path)
    (tmp_path / "cat" / "._000.png").write_bytes(b"left by a Macintosh")
    (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / ".ipynb_checkpoints" / "000-copy.png")
    (tmp_path / "cat" / "folder.png").mkdir()
    data = open_data(tmp_path, "auto", 8)
    assert len(data.train) + len(data.test) == 20


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(BadInput, match=r"text.jpg is not a picture"):
        read_picture(tmp_path / "text.jpg", 8)
    save(tmp_path / "whole.jpg", "RGB")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"cut.jpg cannot be decoded"):
        read_picture(tmp_path / "cut.jpg", 8)
    with pytest.raises(BadInput, match=r"none.png does not exist"):
        read_picture(tmp_path / "none.png", 8)


def folder(root, classes=("cat", "dog"), count=10):
    for name in classes:
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 12), (i, 0, 0)).save(root / name / f"{i:03}.png")
        (root / name / "notes.txt").write_text("no picture")


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_folder_of_images_by_class_is_opened(tmp_path, held_out):
    folder(tmp_path / "train")
    folder(tmp_path / held_out, count=3)
    data = open_data(tmp_path, "auto", 8)
    assert (len(data.train), len(data.test), data.class_names) == (20, 6, ("cat", "dog"))
    assert [data.train[i]["label"] for i in (0, 9, 10, 19)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda d: None, "auto", "holds no IDX files and no pictures in at least two folders"),
        (lambda d: folder(d / "train"), "auto", "has a folder train, but no test/CLASS or val"),
        (lambda d: folder(d / "cat"), "idx", "lacks train-images-idx3-ubyte"),
        (lambda d: folder(d), "cifar", "holds no batches of CIFAR"),
        (lambda d: (folder(d / "train"), folder(d / "val", ("cow",))), "auto", "a class 'cow'"),
        (lambda d: (folder(d), folder(d / "test")), "auto", "folder test, but none named train"),
        (lambda d: folder(d, count=0), "auto", "cat holds no pictures"),
        (lambda d: folder(d, count=1), "auto", "cat holds one picture, and needs another"),
        (
            lambda d: (folder(d / "train"), folder(d / "val", ("cat",)), (d / "val/dog").mkdir()),
            "auto",
            "val holds no pictures of the class 'dog' to test on",
        ),
        (
            lambda d: (folder(d / "train"), folder(d / "val", ("dog",))),
            "auto",
            "val holds no pictures of the class 'cat' to test on",
        ),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path, make, kind, words):
    make(tmp_path)
    with pytest.raises(BadInput, match=words):
        open_data(tmp_path, kind, 8)


class Counting:
    """A source whose examples are their own index, and that notes which were read."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        return {"image": np.zeros((1, 1, 3), np.uint8), "label": index}


def labels(source, batches, *, seed=0, position=0, batch_size=4, rows=slice(None)):
    where = {"seed": seed, "position": position, "rows": rows}
    iterator = train_batches(source, batch_size=batch_size, threads=1, prefetch=2, **where)
    drawn = [next(iterator)["label"].tolist() for _ in range(batches)]
    iterator.close()
    return drawn


def test_each_epoch_is_a_new_permutation_of_all_examples():
    drawn = np.concatenate(labels(Counting(10), 5)).reshape(2, 10)
    assert sorted(drawn[0]) == sorted(drawn[1]) == list(range(10))
    assert drawn[0].tolist() != drawn[1].tolist() != list(range(10))


def test_the_order_follows_from_the_seed_and_goes_on_at_any_position():
    whole = labels(Counting(10), 8)
    assert labels(Counting(10), 8) == whole
    assert labels(Counting(10), 8, seed=1) != whole
    assert labels(Counting(10), 3, position=5 * 4) == whole[5:]


def test_a_position_counts_examples_whatever_the_batch_size():
    whole = np.concatenate(labels(Counting(10), 8))
    for position in (3, 10, 17):
        later = np.concatenate(labels(Counting(10), 2, position=position, batch_size=6))
        np.testing.assert_array_equal(later, whole[position : position + 12])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_parts_of_processes_are_the_batch_of_one_and_each_reads_its_own_alone(parts):
    whole, size = labels(Counting(10), 6), 4 // parts
    for part in range(parts):
        rows, source = slice(part * size, (part + 1) * size), Counting(10)
        drawn = labels(source, 6, rows=rows)
        assert drawn == [batch[rows] for batch in whole]
        assert len(source.read) <= (6 + 4) * size  # some batches are read ahead


def test_only_a_few_batches_are_read_ahead():
    source = Counting(10_000)
    labels(source, 1)
    assert len(source.read) <= 4 * 5


def test_evaluation_reads_every_example_once_and_in_order_over_all_processes():
    for rows, expected in [
        (slice(None), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, FILLER, FILLER]]),
        (slice(0, 2), [[0, 1], [4, 5], [8, 9]]),
        (slice(2, 4), [[2, 3], [6, 7], [FILLER, FILLER]]),
    ]:
        how = {"batch_size": 4, "threads": 2, "prefetch": 2, "rows": rows}
        batches = list(evaluation_batches(Counting(10), **how))
        assert [batch["label"].tolist() for batch in batches] == expected
        assert {batch["image"].shape[1:] for batch in batches} == {(1, 1, 3)}


def test_the_mean_image_is_the_mean_over_the_training_set(rng):
    images = rng.integers(0, 256, (30, 4, 4, 3), np.uint8)
    source = [{"image": image, "label": 0} for image in images]
    np.testing.assert_allclose(image_statistics(source).mean, images.mean(axis=0), rtol=1e-6)
    first_and_last = image_statistics(source, at_most=2).mean
    np.testing.assert_allclose(first_and_last, images[[0, 29]].mean(axis=0), rtol=1e-6)


def test_the_principal_colours_are_those_of_a_singular_value_decomposition(rng):
    mixed = rng.uniform(size=(3, 3)) * [60, 20, 5]  # so that the colours are correlated
    images = np.clip(128 + rng.normal(size=(12, 9, 9, 3)) @ mixed.T, 0, 255).astype(np.uint8)
    found = image_statistics([{"image": image, "label": 0} for image in images])

    pixels = images.reshape(-1, 3).astype(np.float64)
    _, singular, rows = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.variances, singular[::-1] ** 2 / len(pixels), rtol=1e-9)
    alignment = found.colours.T @ rows[::-1].T  # the sign of an eigenvector is free
    np.testing.assert_allclose(np.abs(alignment), np.eye(3), atol=1e-7)


def test_a_run_keeps_its_statistics_and_names_them_when_they_are_damaged(tmp_path):
    data = open_data(None, "auto", 12)
    taken = statistics_of(tmp_path, data)
    for ours, kept in zip(taken, statistics_of(tmp_path, data), strict=True):
        np.testing.assert_array_equal(ours, kept)
    np.save(tmp_path / "colours.npy", np.zeros((3, 3)))
    with pytest.raises(BadInput, match=r"colours.npy is not the colour statistics of 4 x 3 finite"):
        statistics_of(tmp_path, data)


def test_gray_images_have_one_principal_colour():
    data = open_data(None, "auto", 28)
    gray = image_statistics(data.train, at_most=50)
    np.testing.assert_allclose(np.abs(gray.colours[:, 2]), 3**-0.5, rtol=1e-9)
    assert gray.variances[2] > 1000
    assert np.all((gray.variances[:2] >= 0) & (gray.variances[:2] < 1e-9))
