"""Which images a run validates on: a part of the data, or a share of the training images."""

import json
from collections import Counter

import numpy as np
import pytest

from tests.support.prepared import options
from tests.support.runs import write_noise_pictures
from train.config.config import Config
from train.config.errors import BadInput
from train.config.experiments import EXPERIMENTS
from train.data.dataset import DIGITS, open_data
from train.data.examples import DataSet, labeled_names
from train.data.preparation.prepare import prepare
from train.data.validation import describe_validation, with_train_images, with_validation
from train.trainer.build import load_network_and_data


def data_set(*sizes, val=None):
    """Training images of classes of these sizes, in turns; each pixel is the image's index."""
    labels = np.concatenate([np.full(size, label) for label, size in enumerate(sizes)])
    labels = np.random.default_rng(1).permutation(labels)
    train = [
        {"image": np.full((8, 8, 3), index, np.uint8), "label": int(label)}
        for index, label in enumerate(labels)
    ]
    return DataSet(train, train[:4], tuple("abcdefgh"[: len(sizes)]), val=val)


def pixels(source):
    return [int(source[i]["image"][0, 0, 0]) for i in range(len(source))]


def classes(source):
    return Counter(source[i]["label"] for i in range(len(source)))


@pytest.mark.parametrize(
    ("sizes", "validation", "taken"),
    [
        ((50, 30, 20), 0.1, (5, 3, 2)),
        ((7, 5, 13), 0.2, (1, 1, 3)),  # 1.4, 1.0 and 2.6 of a class
        ((40, 2, 1), 0.05, (1, 1, 0)),  # no class gives all, and of two images it gives one
        ((100, 1, 3), 20, (19, 0, 1)),  # 19.23, 0.19 and 0.58
        ((10, 10), 3, (2, 1)),  # 1.5 of each
        ((6, 6), 0.99, (5, 5)),
    ],
)
def test_each_class_gives_its_share_and_keeps_the_rest(sizes, validation, taken):
    data = data_set(*sizes)
    parts = with_validation(data, validation)
    assert tuple(classes(parts.val)[label] for label in range(len(sizes))) == taken
    assert classes(parts.train) + classes(parts.val) == classes(data.train)
    assert sorted(pixels(parts.train) + pixels(parts.val)) == [*range(sum(sizes))]
    assert parts.validation == "training"
    assert len(parts.test) == 4


def test_the_seed_draws_the_images_and_the_same_seed_the_same_ones():
    data = data_set(60, 60)
    draws = [tuple(pixels(with_validation(data, 0.1, seed=seed).val)) for seed in range(20)]
    assert draws[3] == tuple(pixels(with_validation(data, 0.1, seed=3).val))
    assert len({*draws}) == 20
    assert len({index for draw in draws for index in draw}) > 90  # 120 * (1 - 0.9^20) = 105


def test_the_last_images_are_those_of_a_notebooks_slices():
    data = data_set(30, 30)
    for validation, count in ((20, 20), (0.25, 15)):
        parts = with_validation(data, validation, taken_from="end")
        assert pixels(parts.val) == [*range(60)][-count:]
        assert pixels(parts.train) == [*range(60)][:-count]


def test_keras_mnist_holds_out_the_last_2000_images_as_its_notebook_does():
    recipe = EXPERIMENTS["keras-mnist"]
    data = open_data(DIGITS, "idx", 28)
    parts = with_validation(data, recipe.validation, taken_from=recipe.validation_from)
    assert [len(part) for part in (parts.train, parts.val)] == [3000, 2000]
    for index in (0, 1999):
        np.testing.assert_array_equal(parts.val[index]["image"], data.train[3000 + index]["image"])


def test_a_part_of_the_data_comes_first_and_val_alone_is_test_too():
    val = data_set(2, 2).train
    beside = data_set(10, 10, val=val)
    for validation in (None, 0.1):
        parts = with_validation(beside, validation)
        assert (parts.validation, parts.val, len(parts.train)) == ("own", val, 20)
    assert with_validation(beside, 0).val is None
    alone = DataSet(beside.train, val, beside.class_names, val=val)
    parts = with_validation(alone, None)
    assert (parts.validation, parts.val, parts.test) == ("test", val, val)
    parts = with_validation(alone, 0.1)
    assert (parts.validation, len(parts.val), parts.test) == ("training", 2, val)


def test_data_of_one_image_a_class_are_trained_on_unless_a_share_is_asked_for():
    assert with_validation(data_set(1, 1, 1), None).validation == "none"


@pytest.mark.parametrize(
    ("sizes", "arguments", "words"),
    [
        ((1, 1, 1), {"validation": 0.5}, "`validation` 0.5: the 3 training images are too few"),
        ((5, 5), {"validation": 9}, "9 leaves a class without training images: at most 8 of 10"),
        ((5, 5), {"validation": 10}, "`validation` 10 leaves nothing of 10 training images"),
        (
            (1, 9),
            {"validation": 9, "taken_from": "end"},
            "`validation_from` end leaves no training images of the class 'b', whose images",
        ),
    ],
)
def test_a_share_that_leaves_too_little_is_refused(sizes, arguments, words):
    data = data_set(*sizes)
    data.train.sort(key=lambda example: example["label"])
    with pytest.raises(BadInput, match=words):
        with_validation(data, **arguments)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan"), float("inf")])
def test_a_validation_that_is_no_share_and_no_number_of_images_is_refused(value):
    with pytest.raises(BadInput, match="`validation` must be at least 0 and below 1, or a whole"):
        Config().replace(validation=value)


def test_a_folder_and_its_records_validate_on_the_same_pictures(tmp_path):
    for split, count in (("train", 10), ("test", 2)):
        write_noise_pictures(tmp_path / "folder" / split, ["cat", "dog"], count)
    prepare(options(tmp_path / "folder", tmp_path / "records", labels=None))
    names = []
    for folder in ("folder", "records"):
        config = Config().replace(data=tmp_path / folder, stored_size=28, validation=0.3)
        _, data = load_network_and_data(config)
        names.append({*labeled_names(data.val)})
        assert classes(data.val) == {0: 3, 1: 3}
        assert not names[-1] & {*labeled_names(data.train)}
    assert names[0] == names[1]


def test_records_of_train_and_val_validate_on_val_also_if_an_older_version_made_them(tmp_path):
    for split in ("train", "val"):
        write_noise_pictures(tmp_path / "folder" / split, ["cat", "dog"], 3)
    out = tmp_path / "records"
    prepare(options(tmp_path / "folder", out, labels=None))
    manifest = json.loads((out / "manifest.json").read_text())
    for keys in ({}, {"only_val"}):
        values = {key: value for key, value in manifest.items() if key not in keys}
        (out / "manifest.json").write_text(json.dumps(values))
        _, data = load_network_and_data(Config().replace(data=out, stored_size=28))
        assert (data.validation, len(data.train), len(data.val)) == ("test", 6, 6)
        assert data.val is data.test


def test_a_tenth_is_taken_by_default_and_nothing_of_data_from_python():
    _, data = load_network_and_data(Config())
    assert [len(part) for part in (data.train, data.val, data.test)] == [4500, 500, 1000]
    assert data.record() == {
        "train": 5000,
        "val": 500,
        "test": 1000,
        "validation": "training",
        "class_names": list("0123456789"),
    }
    given = open_data(None, "auto", 28)
    _, own = load_network_and_data(Config(), given)
    assert (own.val, len(own.train)) == (None, 5000)
    _, parts = load_network_and_data(Config().replace(validation=0.1), given)
    assert labeled_names(parts.val) == labeled_names(data.val)


@pytest.mark.parametrize(
    ("validation", "taken_from", "val", "text"),
    [
        (
            None,
            "classes",
            None,
            "2 of 20 training images, drawn by class and seed, choose the best",
        ),
        (5, "end", None, "the last 5 of 20 training images choose the best checkpoint"),
        (0, "classes", None, "validation: none; the 4 test images choose the best checkpoint, too"),
        (
            0.3,
            "classes",
            "own",
            "4 images, a part of the data, choose the best checkpoint (--valid",
        ),
        (None, "classes", "test", "4 images of val, the only held-out part, choose the best"),
    ],
)
def test_a_line_says_which_images_choose(validation, taken_from, val, text):
    data = data_set(10, 10)
    val = {"own": data_set(2, 2).train, "test": data.test, None: None}[val]
    data = DataSet(data.train, data.test, data.class_names, val=val)
    parts = with_validation(data, validation, taken_from=taken_from)
    line = describe_validation(parts, validation, taken_from)
    assert text in line
    assert ("looked at once, at the end" in line) == (parts.validation in ("own", "training"))
    assert len(line) < 300


@pytest.mark.parametrize(
    ("sizes", "count", "kept"),
    [
        ((50, 30, 20), 10, (5, 3, 2)),
        ((50, 30, 20), 99, (50, 30, 19)),  # 49.5, 29.7 and 19.8
        ((7, 5, 13), 5, (1, 1, 3)),  # 1.4, 1.0 and 2.6
    ],
)
def test_a_run_trains_on_as_many_images_as_it_is_told_of_each_class_in_proportion(
    sizes, count, kept
):
    data = data_set(*sizes)
    fewer = with_train_images(data, count, seed=0)
    assert sum(kept) == count
    assert abs(np.subtract([classes(fewer.train)[i] for i in range(len(sizes))], kept)).max() <= 1
    assert len(fewer.train) == count
    assert len(set(pixels(fewer.train))) == count
    assert pixels(fewer.train) != pixels(with_train_images(data, count, seed=1).train)
    parts = with_validation(fewer, 0.2)
    assert sorted(pixels(parts.train) + pixels(parts.val)) == pixels(fewer.train)
    assert with_train_images(data, sum(sizes), seed=0) is data


@pytest.mark.parametrize(("count", "words"), [(30, "have 25 training images"), (2, "class 'b'")])
def test_more_images_than_there_are_and_a_class_without_any_are_refused(count, words):
    with pytest.raises(BadInput, match=words):
        with_train_images(data_set(20, 5), count, seed=0)
