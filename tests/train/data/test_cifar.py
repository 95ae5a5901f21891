"""CIFAR-10 and CIFAR-100 in their binary form."""

import numpy as np
import pytest

from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.pipeline import evaluation_batches

RED = (200, 30, 40)


def write_cifar(folder, rng, count=4):
    """Batches of `count` images of CIFAR-10; returns images [6, count, 32, 32, 3] and labels."""
    images = rng.integers(0, 256, (6, count, 32, 32, 3), np.uint8)
    labels = rng.permuted(np.tile(np.uint8([3, 0, 9, 6]), (6, count // 4)), axis=1)
    folder.mkdir(exist_ok=True)
    for i, name in enumerate([f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]):
        planes = np.moveaxis(images[i], -1, 1).reshape(count, -1)
        (folder / name).write_bytes(np.column_stack([labels[i], planes]).tobytes())
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (folder / "batches.meta.txt").write_text(names.replace(" ", "\n") + "\n\n")
    return images, labels


@pytest.mark.parametrize("folder", [".", "cifar-10-batches-bin"])
def test_cifar_10_is_read_in_color_and_in_the_order_of_its_batches(tmp_path, rng, folder):
    images, labels = write_cifar(tmp_path / folder, rng)
    data = open_data(tmp_path, "auto", 32)
    assert (len(data.train), len(data.test)) == (20, 4)
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    for index in (0, 5, 19):
        example = data.train[index]
        np.testing.assert_array_equal(example["image"], images.reshape(-1, 32, 32, 3)[index])
        assert example["label"] == labels.ravel()[index]
    np.testing.assert_array_equal(data.test[3]["image"], images[5, 3])
    batch = next(evaluation_batches(data.test, batch_size=4, threads=1, prefetch=1))
    np.testing.assert_array_equal(batch["image"], images[5])
    assert batch["image"].dtype == np.uint8


def test_cifar_images_are_resized_to_the_stored_size(tmp_path, rng):
    images, _ = write_cifar(tmp_path, rng)
    for i, color in enumerate(RED):
        images[0, 1, :, :, i] = color
    record = b"\3" + np.moveaxis(images[0, 1], -1, 0).tobytes()
    (tmp_path / "data_batch_1.bin").write_bytes(record)
    example = open_data(tmp_path, "cifar", 28).train[0]
    np.testing.assert_array_equal(example["image"], np.full((28, 28, 3), RED))
    assert example["label"] == 3


def test_cifar_images_stay_on_the_disk_until_they_are_read(tmp_path, rng):
    images, _ = write_cifar(tmp_path, rng)
    data = open_data(tmp_path, "auto", 32)
    with (tmp_path / "test_batch.bin").open("r+b") as file:
        file.seek(1)
        file.write(bytes([255 - images[5, 0, 0, 0, 0]]))
    assert data.test[0]["image"][0, 0, 0] == 255 - images[5, 0, 0, 0, 0]


def test_cifar_100_has_its_fine_labels(tmp_path, rng):
    pixels = rng.integers(0, 256, (2, 3072), np.uint8)
    for name in ("train.bin", "test.bin"):
        (tmp_path / name).write_bytes(
            np.column_stack([np.array([19, 3], np.uint8), np.array([99, 0], np.uint8), pixels])
        )
    data = open_data(tmp_path, "auto", 32)
    assert [data.train[i]["label"] for i in range(2)] == [99, 0]
    np.testing.assert_array_equal(data.train[1]["image"][..., 2].ravel(), pixels[1, 2048:])
    assert data.class_names == tuple(str(label) for label in range(100))  # without a file of names


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("data_batch_3.bin", None, "lacks data_batch_3.bin"),
        ("test_batch.bin", None, "lacks test_batch.bin"),
        ("data_batch_2.bin", lambda d: d[:-1], "records of 3073 bytes, and holds 12291"),
        ("data_batch_2.bin", lambda d: b"", "records of 3073 bytes, and holds 0"),
        (
            "data_batch_5.bin",
            lambda d: d[:3073] + b"\x0a" + d[3074:],
            "below 10, and image 1 has 10",
        ),
        ("batches.meta.txt", lambda d: b"cat\ndog\n", "should name 10 classes, and names 2"),
        ("batches.meta.txt", lambda d: b"\xff\xfe", "batches.meta.txt cannot be read"),
    ],
)
def test_a_damaged_batch_of_cifar_is_named(tmp_path, rng, name, change, words):
    write_cifar(tmp_path, rng)
    path = tmp_path / name
    if change:
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    with pytest.raises(BadInput, match=words) as caught:
        open_data(tmp_path, "auto", 32)
    assert str(tmp_path) in str(caught.value)
