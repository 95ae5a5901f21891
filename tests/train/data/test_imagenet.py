"""ILSVRC's lists of labels and of classes, in every published format."""

import re

import numpy as np
import pytest
from scipy.io import savemat

from tests.support.photographs import DEVKIT, SHOWN, SYNSETS, write_ilsvrc
from train.config.errors import BadInput
from train.data.formats.imagenet import (
    find_imagenet,
    read_descriptions,
    read_synsets,
    reorder_classes,
)

NAMES = [f"ILSVRC2012_val_{i + 1:08}" for i in range(len(SHOWN))]
NUMBERS = "\n".join(str(DEVKIT.index(SYNSETS[label]) + 1) for label in SHOWN) + "\n"
FORMATS = {
    "ILSVRC2012_validation_ground_truth.txt": NUMBERS,
    "validation_synset_labels.txt": "\n".join(SYNSETS[label] for label in SHOWN),
    "val.txt": "\n".join(f"{NAMES[i]}.JPEG {SHOWN[i]}" for i in (3, 1, 4, 0, 2)),
    "val_synsets.txt": "".join(f"{NAMES[i]}.JPEG {SYNSETS[SHOWN[i]]}\r\n" for i in (3, 1, 4, 0, 2)),
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "\n".join(f"{NAMES[i]},{SYNSETS[SHOWN[i]]} 1 2 30 40 n1 5 6 7 8" for i in (4, 3, 2, 1, 0)),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("ilsvrc")
    write_ilsvrc(root, count=2)
    return root


def write_meta_mat(path):
    """The devkit's table: the classes, then a node of the tree above them."""
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)]
    rows = [(i, name, 0) for i, name in enumerate(DEVKIT, 1)] + [(4, "n00001740", 3)]
    savemat(path, {"synsets": np.array(rows, fields).reshape(-1, 1)})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_a_list_gives_the_same_labels(tree, tmp_path, name):
    (tmp_path / name).write_text(FORMATS[name])
    write_meta_mat(tmp_path / "meta.mat")
    synsets = read_synsets(tmp_path / "meta.mat")
    assert synsets == DEVKIT
    pictures = find_imagenet(tree, tmp_path / name, synsets)
    assert pictures.class_names == SYNSETS
    assert pictures.test == [(f"val/{NAMES[i]}.JPEG", SHOWN[i]) for i in range(5)]
    assert [label for _, label in pictures.train] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n1 2 kit_fox\nn2 1 tench\n", {"n1": "kit fox", "n2": "tench"}),
        ("n1 tench, Tinca tinca\nn2 goldfish\n", {"n1": "tench, Tinca tinca", "n2": "goldfish"}),
        ("n1\nn2\n", {}),
    ],
)
def test_a_list_of_synsets_gives_their_descriptions(tmp_path, text, words):
    (tmp_path / "synsets.txt").write_text(text)
    assert read_descriptions(tmp_path / "synsets.txt") == words


def test_the_devkits_table_gives_the_descriptions_of_synsets(tmp_path):
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    fields.append(("num_children", object))
    rows = [(1, "n02119789", "kit fox, Vulpes macrotis", 0), (2, "n00001740", "entity", 3)]
    savemat(tmp_path / "meta.mat", {"synsets": np.array(rows, fields).reshape(-1, 1)})
    assert read_descriptions(tmp_path / "meta.mat") == {"n02119789": "kit fox, Vulpes macrotis"}


def test_classes_can_be_numbered_as_the_devkit_does(tree, tmp_path):
    (tmp_path / "labels").write_text(NUMBERS)
    pictures = reorder_classes(find_imagenet(tree, tmp_path / "labels", DEVKIT), DEVKIT)
    assert pictures.class_names == DEVKIT
    assert [label + 1 for _, label in pictures.test] == [int(number) for number in NUMBERS.split()]
    assert [label for _, label in pictures.train] == [2, 2, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(DEVKIT),
        "\n".join(f"{name} words, of it" for name in DEVKIT),
        "".join(f"{name} {i} kit_fox\n" for i, name in reversed([*enumerate(DEVKIT, 1)])),
    ],
)
def test_the_devkits_order_can_be_a_text_file(tmp_path, text):
    (tmp_path / "synsets.txt").write_text(text)
    assert read_synsets(tmp_path / "synsets.txt") == DEVKIT


def test_an_unlabeled_test_set_beside_the_validation_set_is_ignored(tree, tmp_path):
    write_ilsvrc(tmp_path / "all", count=1)
    (tmp_path / "all" / "test").mkdir()
    for name in "ab":
        (tmp_path / "all" / "test" / f"{name}.JPEG").touch()
    (tmp_path / "labels").write_text(FORMATS["val.txt"])
    pictures = find_imagenet(tmp_path / "all", tmp_path / "labels", None)
    assert [label for _, label in pictures.test] == list(SHOWN)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no labels"),
        ("\xff", "cannot be read: it is not a text"),
        ("1\n2\n", r"labels 2 pictures, and .*val holds 5"),
        (NUMBERS, "--synsets should name the meta.mat beside it"),
        (
            FORMATS["val.txt"].replace("00002.JPEG 0", "00002.JPEG 3"),
            "line 2: 3 should be .* 0 to 2",
        ),
        (FORMATS["val.txt"].replace("000003.", "000004."), "00000004.JPEG for the second time"),
        (FORMATS["val.txt"].replace("000003.", "000007."), "does not label .*_00000003.JPEG"),
        (FORMATS["val_synsets.txt"].replace(SYNSETS[0], "n9"), "line 2: n9 is none of the classes"),
        (FORMATS["val.txt"] + "\n7", "line 6 is of another form"),
        ("\n\n" + FORMATS["val.txt"] + "\n\n7", "line 9 is of another form"),
        (
            "\n".join(f"{name}.JPEG 0" for name in NAMES),
            f"labels no picture of the class {SYNSETS[1]}, {SYNSETS[2]}$",
        ),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tree, tmp_path, text, words):
    (tmp_path / "labels").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as caught:
        find_imagenet(tree, tmp_path / "labels", None)
    assert re.search(words, caught.value.with_flags())
    assert str(tmp_path) in str(caught.value)


def test_the_devkits_numbers_are_not_read_in_sorted_order(tree, tmp_path):
    (tmp_path / "labels").write_text(NUMBERS)
    synsets = tuple(f"n{i:08}" for i in range(1000))
    with pytest.raises(BadInput, match="the devkit's order, which is not the sorted one"):
        find_imagenet(tree, tmp_path / "labels", synsets)
    with pytest.raises(BadInput, match="line 2: 3 should be a number from 1 to 2"):
        find_imagenet(tree, tmp_path / "labels", DEVKIT[:2])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("meta.mat", b"no MATLAB", "is not the meta.mat of an ILSVRC devkit"),
        ("synsets.txt", b"", "names 0 synsets"),
        ("synsets.txt", b"n1\nn2\nn1\n", "names 3 synsets, 2 of them different"),
        ("synsets.txt", b"n1 1\nn2 3\n", "does not number its synsets 1, 2, 3"),
    ],
)
def test_an_invalid_order_of_classes_is_refused(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=words):
        read_synsets(tmp_path / name)
    with pytest.raises(BadInput, match="cannot be read"):
        read_synsets(tmp_path / "none.mat")
