"""Held-out pictures that cannot be decoded are met before the first step."""

import dataclasses

import pytest

from tests.support.picture_folders import write_classes
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.held_out import leave_out_corrupt
from train.data.in_memory import keep_in_memory
from train.data.validation import with_validation


@pytest.fixture
def folder(tmp_path):
    for part, count in {"train": 6, "val": 3, "test": 4}.items():
        write_classes(tmp_path / part, count)
    return tmp_path


def names(source):
    return [source.name(index) for index in range(len(source))]


@pytest.mark.parametrize("threads", [1, 4])
def test_they_are_named_and_left_out_up_to_a_limit(folder, capsys, threads):
    for name in ("test/cat/0.png", "test/dog/3.png", "val/dog/1.png"):
        (folder / name).write_bytes(b"")
    data = open_data(folder, "auto", 8)
    kept = leave_out_corrupt(data, 2, threads)
    assert names(kept.test) == [f"test/cat/{i}.png" for i in (1, 2, 3)] + [
        f"test/dog/{i}.png" for i in (0, 1, 2)
    ]
    assert [kept.test[i]["label"] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert (len(kept.val), kept.train) == (5, data.train)
    assert capsys.readouterr().out.splitlines() == [
        f"left out: {folder}/{name} is not a picture"
        for name in ("val/dog/1.png", "test/cat/0.png", "test/dog/3.png")
    ]
    with pytest.raises(BadInput, match="png is not a picture, and `bad_images` allows 1"):
        leave_out_corrupt(data, 1, threads)
    with pytest.raises(BadInput, match=r"val/dog/1.png is not a picture$"):
        leave_out_corrupt(data, 0, threads)
    assert leave_out_corrupt(data, 1, threads, ["val"]).test is data.test


def test_a_part_for_both_uses_stays_one(folder):
    (folder / "test").rename(folder / "away")
    (folder / "val" / "cat" / "2.png").write_bytes(b"\x89PNG")
    kept = leave_out_corrupt(open_data(folder, "auto", 8), 1, 1)
    assert len(kept.test) == 5
    assert kept.val is kept.test


def test_those_taken_from_the_training_pictures_are_checked_too(folder):
    data = with_validation(keep_in_memory(open_data(folder, "auto", 8), 8), 0.5)
    bad = data.val.name(0)
    (folder / bad).write_text("<html>")
    kept = leave_out_corrupt(data, 1, 1)
    assert names(kept.val) == names(data.val)[1:]


def test_a_part_that_loses_all_its_pictures_is_refused(folder):
    for name in ("cat", "dog"):
        for i in range(4):
            (folder / "test" / name / f"{i}.png").write_bytes(b"")
    with pytest.raises(BadInput, match="none of the pictures can be decoded"):
        leave_out_corrupt(open_data(folder, "auto", 8), 9, 1)


def test_sources_that_are_no_picture_files_are_not_read(folder):
    class Unread(list):
        def __getitem__(self, index):
            pytest.fail("it was read")

    data = open_data(folder, "auto", 8)
    source = Unread([0])
    other = dataclasses.replace(data, val=None, test=source)
    assert leave_out_corrupt(other, 0, 1).test is source
