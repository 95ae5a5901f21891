"""Folders of pictures, and the batches of the pipeline."""

import threading

import numpy as np
import pytest
from PIL import Image

from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.pipeline import PADDING, evaluation_batches, train_batches


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
        (
            lambda d: None,
            "auto",
            "holds none of: .* IDX files; .* pictures in at least two folders",
        ),
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
def test_a_folder_without_a_data_set_is_refused(tmp_path, make, kind, words):
    make(tmp_path)
    with pytest.raises(BadInput, match=words):
        open_data(tmp_path, kind, 8)


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    folder(tmp_path)
    (tmp_path / "cat" / "._000.png").write_bytes(b"left by a Macintosh")
    (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / ".ipynb_checkpoints" / "000-copy.png")
    (tmp_path / "cat" / "folder.png").mkdir()
    data = open_data(tmp_path, "auto", 8)
    assert len(data.train) + len(data.test) == 20


class Counting:
    """A source of examples labeled with their index; it records which were read."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        return {"image": np.zeros((1, 1, 3), np.uint8), "label": index}


def batch_labels(source, batches, *, seed=0, position=0, batch_size=4, rows=slice(None)):
    options = {"seed": seed, "position": position, "rows": rows}
    iterator = train_batches(source, batch_size=batch_size, threads=1, prefetch=2, **options)
    labels = [next(iterator)["label"].tolist() for _ in range(batches)]
    iterator.close()
    return labels


def test_each_epoch_is_a_new_permutation_of_all_examples():
    epochs = np.concatenate(batch_labels(Counting(10), 5)).reshape(2, 10)
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0].tolist() != epochs[1].tolist() != list(range(10))


def test_the_order_follows_from_the_seed_and_goes_on_at_any_position():
    whole = batch_labels(Counting(10), 8)
    assert batch_labels(Counting(10), 8) == whole
    assert batch_labels(Counting(10), 8, seed=1) != whole
    assert batch_labels(Counting(10), 3, position=5 * 4) == whole[5:]


def test_a_position_counts_examples_whatever_the_batch_size():
    whole = np.concatenate(batch_labels(Counting(10), 8))
    for position in (3, 10, 17):
        later = np.concatenate(batch_labels(Counting(10), 2, position=position, batch_size=6))
        np.testing.assert_array_equal(later, whole[position : position + 12])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_processes_share_the_batch_of_one_process_and_each_reads_its_own_rows_alone(parts):
    whole, size = batch_labels(Counting(10), 6), 4 // parts
    for part in range(parts):
        rows, source = slice(part * size, (part + 1) * size), Counting(10)
        labels = batch_labels(source, 6, rows=rows)
        assert labels == [batch[rows] for batch in whole]
        assert len(source.read) <= (6 + 4) * size  # some batches are read ahead


def test_only_a_few_batches_are_prefetched():
    source = Counting(10_000)
    batch_labels(source, 1)
    assert len(source.read) <= 4 * 5


def test_evaluation_reads_every_example_once_and_in_order_over_all_processes():
    for rows, expected in [
        (slice(None), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, PADDING, PADDING]]),
        (slice(0, 2), [[0, 1], [4, 5], [8, 9]]),
        (slice(2, 4), [[2, 3], [6, 7], [PADDING, PADDING]]),
    ]:
        options = {"batch_size": 4, "threads": 2, "prefetch": 2, "rows": rows}
        batches = list(evaluation_batches(Counting(10), **options))
        assert [batch["label"].tolist() for batch in batches] == expected
        assert {batch["image"].shape[1:] for batch in batches} == {(1, 1, 3)}


class Meeting(Counting):
    """A source that returns the second example of each eight once eight threads ask for one."""

    def __init__(self, count):
        super().__init__(count)
        self.meeting = threading.Barrier(8)

    def __getitem__(self, index):
        if index % 8 == 1:
            self.meeting.wait(60)
        return super().__getitem__(index)


def test_all_threads_share_the_examples_of_one_batch():
    batches = evaluation_batches(Meeting(64), batch_size=64, threads=8, prefetch=1)
    assert next(batches)["label"].tolist() == [*range(64)]
    batches.close()
