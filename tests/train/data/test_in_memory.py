"""Images that are decoded once in a run."""

import numpy as np
import pytest

from train.data import in_memory
from train.data.examples import DataSet, labeled_names
from train.data.in_memory import keep_in_memory


class Counted:
    """Examples of 2 x 2 pixels that count how often each is read; the third cannot be, at first."""

    def __init__(self):
        self.reads = []

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.reads.append(index)
        if self.reads.count(2) == 1 and index == 2:
            raise OSError("lost")
        return {"image": np.full((2, 2, 3), index, np.uint8), "label": index % 2}

    def name(self, index):
        return f"file {index}"


def test_each_example_is_read_once_and_a_failure_again():
    source = Counted()
    kept = keep_in_memory(DataSet(source, Counted(), ("a", "b")), size=2).train
    for index in (0, 1, 0, 4, 1, 0):
        assert kept[index]["image"].max() == index
        assert kept[index]["label"] == index % 2
    assert source.reads == [0, 1, 4]
    with pytest.raises(OSError, match="lost"):
        kept[2]
    assert [kept[2]["image"].max(), kept[2]["image"].max()] == [2, 2]
    assert source.reads == [0, 1, 4, 2, 2]
    assert labeled_names(kept)[3] == ("file 3", 1)


def test_test_pictures_that_also_validate_are_kept_once():
    test = Counted()
    data = keep_in_memory(DataSet(Counted(), test, ("a", "b"), val=test), size=2)
    assert data.val is data.test
    own = keep_in_memory(DataSet(Counted(), test, ("a", "b"), val=Counted()), size=2)
    assert own.val is not own.test


def test_images_that_do_not_fit_are_not_kept(monkeypatch):
    data = DataSet(Counted(), Counted(), ("a", "b"))
    monkeypatch.setattr(in_memory, "MAX_BYTES", 10 * 12 - 1)
    assert keep_in_memory(data, size=2) is data
    monkeypatch.setattr(in_memory, "MAX_BYTES", 10 * 12)
    assert keep_in_memory(data, size=2) is not data
