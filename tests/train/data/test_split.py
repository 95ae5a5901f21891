"""A folder of pictures by class alone: which of them are held out to test on."""

import shutil

import numpy as np
import pytest
from PIL import Image

from train.config import saved
from train.config.errors import BadInput
from train.config.flags import parse
from train.data.dataset import open_data
from train.trainer.build import load_network_and_data


def pictures(root, **counts):
    """So many pictures of each class, in folders named after the classes."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 12)).save(root / name / f"{i:03}.png")


def split_of(root, **how):
    """The training and the test pictures of a folder, each as CLASS/FILE."""
    data = open_data(root, "folder", 8, **how)
    return [[name for name, _ in source.files] for source in (data.train, data.test)]


def test_a_fraction_of_each_class_is_held_out(tmp_path):
    sizes = {"cat": 40, "dog": 20, "emu": 3, "fox": 2}
    pictures(tmp_path, **sizes)
    train, test = split_of(tmp_path, held_out=0.3)
    assert sorted(train + test) == [f"{n}/{i:03}.png" for n in sizes for i in range(sizes[n])]
    counts = {name: sum(path.startswith(name) for path in test) for name in sizes}
    assert counts == {"cat": 12, "dog": 6, "emu": 1, "fox": 1}
    for held_out in (1e-9, 1 - 1e-9):  # one stays on each side
        classes = [{path[:3] for path in side} for side in split_of(tmp_path, held_out=held_out)]
        assert classes == [set(sizes), set(sizes)]
    data = open_data(tmp_path, "folder", 8)
    assert all(file.split("/")[0] == data.class_names[label] for file, label in data.test.files)


def test_the_seed_decides_which_pictures_are_held_out_wherever_they_lie(tmp_path):
    pictures(tmp_path / "here", cat=50, dog=50)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    drawn = [split_of(tmp_path / "here", seed=seed)[1] for seed in range(20)]
    assert split_of(tmp_path / "there", seed=3)[1] == drawn[3]
    times = np.unique(np.concatenate(drawn), return_counts=True)[1]
    assert len(times) > 75  # of 100, each drawn with chance 1 - 0.9^20 = 0.88
    assert times.max() < 10  # 2 are expected; 10 of 20 have a chance below 1e-5 for each
    cats = {tuple(path[4:] for path in test if path.startswith("cat")) for test in drawn}
    dogs = {tuple(path[4:] for path in test if path.startswith("dog")) for test in drawn}
    assert len(cats | dogs) == 40  # no class or seed repeats the draw of another


def test_a_picture_that_is_taken_out_sends_at_most_one_other_across(tmp_path):
    pictures(tmp_path, cat=30, dog=30)
    before = split_of(tmp_path, held_out=0.2)
    for gone in [*before[0][:3], *before[1][:3]]:
        (tmp_path / gone).rename(tmp_path / "away")
        after = split_of(tmp_path, held_out=0.2)
        (tmp_path / "away").rename(tmp_path / gone)
        assert len(set(before[0]) & set(after[1]) | set(before[1]) & set(after[0])) <= 1


def test_a_split_of_ones_own_is_left_alone(tmp_path):
    pictures(tmp_path / "train", cat=9, dog=9)
    pictures(tmp_path / "val", cat=4, dog=4)
    train, test = split_of(tmp_path, held_out=0.9, seed=1)
    assert (len(train), len(test)) == (18, 8)
    assert {path.split("/")[0] for path in test} == {"val"}


def test_a_run_that_is_opened_again_holds_out_the_same_pictures(tmp_path):
    pictures(tmp_path / "data", cat=20, dog=20)
    flags = ["--data", str(tmp_path / "data"), "--held-out", "0.25", "--seed", "5"]
    resumed = ["--run-dir", str(tmp_path / "run"), "--resume"]
    (tmp_path / "run").mkdir()
    started = parse([*flags, *resumed[:2]])
    _, data = load_network_and_data(started)
    saved.save_config(started, {"data": data.record()})
    _, again = load_network_and_data(parse(resumed))
    assert again.test.files == data.test.files
    assert len(again.test) == 10
    for flag, kept, other in (("--held-out", "0.25", "0.1"), ("--seed", "5", "6")):
        with pytest.raises(BadInput, match=f"holds a run with {flag} {kept}, not {other}"):
            parse([*resumed, flag, other])
