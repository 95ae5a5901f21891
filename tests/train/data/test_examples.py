"""A user's own source and data set, and the list of formats."""

import re
from typing import get_args, get_type_hints

import numpy as np
import pytest

from train.config.config import DataConfig
from train.config.errors import BadInput
from train.data.dataset import FORMATS, open_data
from train.data.examples import CheckedSource, DataSet, example_name, labeled_names
from train.data.image_statistics import measure_statistics
from train.data.skip_corrupt import SkipCorrupt
from train.data.synthetic import SyntheticSource


def examples(image, label=0, count=3):
    return [{"image": image, "label": label}] * count


def test_a_list_of_examples_is_a_source():
    source = examples(np.full((8, 8, 3), 7, np.uint8))
    assert len(CheckedSource(source, 8, 1, "train")) == 3
    data = DataSet(train=source, test=source[:1], class_names=("cat",))
    assert data.record() == {"train": 3, "test": 1, "class_names": ["cat"]}
    np.testing.assert_array_equal(measure_statistics(data.train).mean, np.full((8, 8, 3), 7))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "the test source holds no examples"),
        ([(np.zeros((8, 8, 3), np.uint8), 0)], "example 0 should be a dict with an image and a"),
        (examples(np.zeros((9, 8, 3), np.uint8)), "uint8 [8, 8, 3], not uint8 [9, 8, 3]"),
        (examples(np.zeros((8, 8), np.uint8)), "uint8 [8, 8, 3], not uint8 [8, 8]"),
        (examples(np.zeros((8, 8, 3), np.float32)), "uint8 [8, 8, 3], not float32 [8, 8, 3]"),
        (examples([[0]]), "the image of test example 0 should be uint8 [8, 8, 3], not list"),
        (examples(np.zeros((8, 8, 3), np.uint8), "cat"), "should be an int from 0 to 1, not 'cat'"),
        (examples(np.zeros((8, 8, 3), np.uint8), 2), "should be an int from 0 to 1, not 2"),
        (None, "the test source should have __len__ and __getitem__, and NoneType does not"),
    ],
)
def test_an_invalid_first_example_is_refused_in_one_sentence(source, words):
    with pytest.raises(BadInput, match=re.escape(words)) as caught:
        CheckedSource(source, 8, 2, "test")
    assert "\n" not in str(caught.value)


def test_an_invalid_example_is_refused_by_its_index_when_it_is_read():
    right, wrong = (np.zeros((side, side, 3), np.uint8) for side in (8, 9))
    source = CheckedSource([*examples(right), *examples(wrong)], 8, 1, "train")
    assert source[2]["label"] == 0
    with pytest.raises(BadInput, match="the image of train example 4 should be"):
        source[4]


class Labeled(list):
    """Examples with labels that can be had without reading them."""

    def __init__(self, labels):
        super().__init__(examples(np.zeros((8, 8, 3), np.uint8), count=3))
        self.labels, self.reads = labels, 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)

    def labeled_names(self):
        return [(f"row {row}", label) for row, label in enumerate(self.labels)]


def test_labels_that_a_source_knows_are_taken_without_reading_its_examples():
    source = Labeled([0, np.int64(1), 0])
    checked = CheckedSource(source, 8, 2, "train")
    assert labeled_names(checked) == [("row 0", 0), ("row 1", 1), ("row 2", 0)]
    assert source.reads == 1  # the first, when the source is taken


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "one pair for each of 3 examples, not 2"),
        ([0, 1, 2], "the label of train example 2 should be an int from 0 to 1, not 2"),
        ([0, "cat", 1], "the label of train example 1 should be an int from 0 to 1, not 'cat'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words):
    with pytest.raises(BadInput, match=re.escape(words)):
        labeled_names(CheckedSource(Labeled(labels), 8, 2, "train"))


def test_examples_without_names_are_named_by_their_index():
    source = SyntheticSource(5, 8, 2)
    assert example_name(source, 3) == "image 3"
    assert example_name(SkipCorrupt(source, 0), 3) == "image 3"
    assert example_name(open_data(None, "auto", 28).train, 3) == "image 3"


def test_the_kinds_of_data_are_the_formats():
    kinds = get_args(get_type_hints(DataConfig)["kind"])
    assert kinds == ("auto", *(data_format.KIND for data_format in FORMATS))
