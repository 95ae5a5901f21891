"""Folders of pictures as people publish them: a split by any name, and folders around it."""

import shutil

import pytest

from tests.support.picture_folders import CLASSES, write_classes, write_pictures
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.formats.folder_layout import find_layout
from train.data.formats.image_folder import evaluation_pictures, find_pictures, find_unlabeled


def counts(root):
    found = find_pictures(root)
    return len(found.train), len(found.val), len(found.test), found.class_names


@pytest.mark.parametrize("around", ["", "archive/flowers"])
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("train", "val"),
        ("train", "valid"),
        ("train", "dev"),
        ("Train", "Validation"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("Train_Set_Folder", "Test_Set_Folder"),
        ("trainset", "testset"),
        ("TrainData", "TestData"),
        ("images_train", "images_test"),
        ("train2017", "val2017"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/images", "test/images"),
        ("train.X1", "val.X"),
        ("imagenet_train", "imagenet_val"),
        ("Flowers-Training", "Flowers-Validation"),
    ],
)
def test_a_split_is_read_under_any_of_its_names(tmp_path, train, test, around):
    write_classes(tmp_path / around / train, 5)
    write_classes(tmp_path / around / test, 2)
    assert counts(tmp_path) == (10, 0, 4, CLASSES)
    data = open_data(tmp_path, "auto", 8)
    assert [data.train[i]["image"][0, 0, 0] for i in (0, 9)] == [0, 40]  # of cats and of dogs
    assert {name.split("/")[0] for name, _ in data.test.files} == {test.split("/")[0]}


@pytest.mark.parametrize(
    ("val", "test"), [("val", "test"), ("Valid", "Test"), ("validation_set", "testing")]
)
def test_a_third_part_is_kept_apart(tmp_path, val, test):
    write_classes(tmp_path / "train", 5)
    write_classes(tmp_path / val, 3)
    write_classes(tmp_path / test, 2)
    assert counts(tmp_path) == (10, 6, 4, CLASSES)
    data = open_data(tmp_path, "auto", 8)
    assert (len(data.val), data.val.files[0]) == (6, (f"{val}/cat/0.png", 0))
    shutil.rmtree(tmp_path / test)
    data = open_data(tmp_path, "auto", 8)
    assert data.val is data.test
    assert len(data.val) == 6


@pytest.mark.parametrize(
    "folder", ["pred", "seg_pred/seg_pred", "test", "test1/images", "unlabeled"]
)
def test_test_pictures_without_labels_are_left_out_and_counted(tmp_path, folder):
    write_classes(tmp_path / "train", 5)
    write_classes(tmp_path / "val", 2)
    write_pictures(tmp_path / folder, 7)
    assert find_pictures(tmp_path).notes == (
        "10 training pictures in train, 4 test pictures in val, of 2 classes",
        f"left out: pictures in {folder.split('/')[0]} (7)",
    )


def test_a_part_may_have_several_folders_as_in_imagenet_100(tmp_path):
    for part, classes in {"train.X1": "ab", "train.X2": "c", "val.X": "abc"}.items():
        write_classes(tmp_path / part, 2, classes)
    (tmp_path / "Labels.json").write_text("{}")
    assert counts(tmp_path) == (6, 0, 6, ("a", "b", "c"))


def test_tiny_imagenet_is_read_as_published(tmp_path):
    root, names = tmp_path / "tiny-imagenet-200", ("n01443537", "n01629819")
    for name in names:
        write_pictures(root / "train" / name / "images", 3)
        (root / "train" / name / f"{name}_boxes.txt").write_text(
            "n01443537_0.JPEG\t0\t10\t63\t58\n"
        )
    write_pictures(root / "val" / "images", 4)
    lines = [f"{i}.png\t{names[i in (1, 2)]}\t0\t32\t44\t62\n" for i in (3, 1, 0, 2)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    write_pictures(root / "test" / "images", 5)
    (root / "words.txt").write_text("n00001740\tentity\n")
    found = find_pictures(tmp_path)
    assert found.test == [(f"val/images/{i}.png", int(i in (1, 2))) for i in range(4)]
    assert (len(found.train), found.class_names) == (6, names)
    assert found.notes[1] == "left out: pictures in test (5), .txt (3)"
    assert len(evaluation_pictures(root).test) == 4
    (root / "val" / "val_annotations.txt").write_text("0.png\tn9\t0\t0\t1\t1\n")
    (root / "val" / "images" / "1.png").unlink()
    with pytest.raises(
        BadInput, match=r"val_annotations.txt does not label 2.png, which val holds"
    ):
        find_pictures(tmp_path)


def test_food_101_is_split_by_its_lists(tmp_path):
    write_classes(tmp_path / "food-101" / "images", 4)
    (tmp_path / "food-101" / "meta").mkdir()
    for part, numbers in {"train": (0, 2, 3), "test": (1,)}.items():
        lines = [f"{name}/{i}\n" for name in CLASSES for i in numbers]
        (tmp_path / "food-101" / "meta" / f"{part}.txt").write_text("".join(lines))
    found = find_pictures(tmp_path)
    assert found.test == [("cat/1.png", 0), ("dog/1.png", 1)]
    assert (len(found.train), found.random_split) == (6, False)
    (tmp_path / "food-101" / "meta" / "test.txt").write_text("apple_pie/1\n")
    assert find_pictures(tmp_path).random_split  # lists of something else


@pytest.mark.parametrize(
    "folder", ["101_ObjectCategories", "Images", "PetImages", "flower_photos", "2750"]
)
def test_class_folders_are_found_beside_labels_and_notes(tmp_path, folder):
    """As in Caltech 101, Stanford Dogs, cats and dogs, TensorFlow's flowers and EuroSAT."""
    root = tmp_path / "set" / folder
    write_classes(root, 5)
    write_pictures(root / "BACKGROUND_Google", 3)
    for name in CLASSES:
        (tmp_path / "set" / "Annotations" / name).mkdir(parents=True)
        (tmp_path / "set" / "Annotations" / name / "0.mat").touch()
    (tmp_path / "set" / "lists").mkdir()
    (root / "LICENSE.txt").touch()
    found = find_pictures(tmp_path)
    assert (len(found.train) + len(found.test), found.class_names) == (10, CLASSES)
    assert found.notes[1] == "left out: pictures in BACKGROUND_Google (3), .txt (1)"


def test_the_seed_draws_the_same_test_pictures_whatever_lies_around_the_classes(tmp_path):
    write_classes(tmp_path / "a" / "a", 30)
    assert find_pictures(tmp_path).test == find_pictures(tmp_path / "a" / "a").test


def test_a_split_within_each_class_is_read(tmp_path):
    for name in CLASSES:
        write_pictures(tmp_path / name / "Training", 5)
        write_pictures(tmp_path / name / "validation", 2)
    assert counts(tmp_path) == (10, 0, 4, CLASSES)


def test_a_class_may_be_called_train(tmp_path):
    write_classes(tmp_path, 5, ("bus", "bullet_train", "train"))
    assert find_pictures(tmp_path).class_names == ("bullet_train", "bus", "train")


def test_a_second_copy_in_the_set_is_no_class(tmp_path):
    root = tmp_path / "cell_images"
    write_classes(root, 5)
    write_classes(root / "cell_images", 5)
    found = find_pictures(tmp_path)
    assert found.class_names == CLASSES
    assert found.notes[1] == "left out: pictures in cell_images (10)"


def test_the_evaluation_part_beside_a_validation_part_is_to_test_on(tmp_path):
    for part, count in {"training": 5, "validation": 3, "evaluation": 2}.items():  # of Food-11
        write_classes(tmp_path / part, count)
    assert counts(tmp_path) == (10, 6, 4, CLASSES)
    found = find_pictures(tmp_path)
    assert {name.split("/")[0] for name, _ in found.test} == {"evaluation"}


def refuse_the_same_classes(root, name="cat"):
    with pytest.raises(
        BadInput, match=rf"hold folders of the same names, such as {name}; if these are"
    ):
        find_pictures(root)


@pytest.mark.parametrize(
    "parts",
    [
        ("fold_a", "fold_b"),
        ("color", "grayscale"),
        ("lehren", "x"),
        ("amazon/images", "dslr/images"),  # Office-31
        ("photo/data/images", "sketch"),
        ("a", "b", "c"),
    ],
)
def test_folders_that_hold_the_same_classes_are_refused(tmp_path, parts):
    for part in parts:
        write_classes(tmp_path / part, 3)
    refuse_the_same_classes(tmp_path)


@pytest.mark.parametrize(
    "classes", [("n01440764", "n02102040"), tuple("0123456789"), ("class1", "class2")]
)
def test_numbers_of_classes_are_no_batches(tmp_path, classes):
    for part in ("lehren", "pruefen"):
        write_classes(tmp_path / part, 1, classes)
    refuse_the_same_classes(tmp_path, classes[0])


def test_neither_a_stray_picture_nor_a_third_folder_makes_parts_classes(tmp_path):
    for part in ("lehren", "pruefen"):
        write_classes(tmp_path / part, 3)
    write_pictures(tmp_path / "lehren", 1)
    write_pictures(tmp_path / "samples", 2)
    refuse_the_same_classes(tmp_path)


def test_a_class_with_most_of_its_pictures_outside_of_folders_is_one(tmp_path):
    for name in CLASSES:
        write_pictures(tmp_path / name, 6)
        write_classes(tmp_path / name, 1, ("indoors", "outdoors"))
    assert counts(tmp_path)[::3] == (14, CLASSES)


def test_segmentations_beside_the_set_are_no_class(tmp_path):
    write_classes(tmp_path / "CUB_200_2011" / "images", 5)
    write_classes(tmp_path / "segmentations", 5)
    assert counts(tmp_path)[::3] == (8, CLASSES)


@pytest.mark.parametrize("batches", [("batch_1", "batch_2"), ("2019", "2020")])
def test_pictures_in_numbered_folders_of_their_classes_are_read(tmp_path, batches):
    for name in CLASSES:
        for batch in batches:
            write_pictures(tmp_path / name / batch, 3)
    assert counts(tmp_path)[::3] == (10, CLASSES)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (
            lambda d: (write_pictures(d / "train"), write_pictures(d / "test1")),
            "train holds 3 pictures outside of class folders",
        ),
        (lambda d: (write_classes(d / "train"), write_pictures(d / "test")), "outside of class"),
        (lambda d: (write_classes(d / "test"), write_classes(d / "val")), "but none named train"),
        (lambda d: (write_pictures(d / "cat"), write_pictures(d / "test")), "at least two folders"),
        (
            lambda d: (write_pictures(d / "images", 7), write_pictures(d / "annotations/trimaps")),
            "images holds 7 pictures outside of class folders",
        ),
        (
            lambda d: (write_classes(d / "fold1/train"), write_classes(d / "fold1/test"),
                       write_classes(d / "fold2/train"), write_classes(d / "fold2/test")),
            "hold folders of the same names, such as te",
        ),
        (
            lambda d: (write_classes(d / "train" / "train"), write_classes(d / "train" / "test"),
                       write_classes(d / "test")),
            "within a folder of a split",
        ),
    ],
)  # fmt: skip
def test_a_split_is_never_taken_for_classes(tmp_path, write, words):
    write(tmp_path)
    with pytest.raises(BadInput, match=words):
        find_pictures(tmp_path)


def test_the_class_of_a_picture_is_its_class_folder_in_any_layout(tmp_path):
    for part in ("seg_train/seg_train", "seg_test/seg_test"):
        write_classes(tmp_path / "a" / part, 1)
    write_pictures(tmp_path / "a" / "seg_pred" / "seg_pred", 1)
    layout = find_layout(tmp_path)
    classes = {
        "seg_train/seg_train/dog/0.png": "dog",
        "seg_test/seg_test/cat/0.png": "cat",
        "seg_pred/seg_pred/0.png": None,
        "seg_train/0.png": None,
    }
    assert {name: layout.class_of(tmp_path / "a" / name) for name in classes} == classes
    assert layout.class_of(tmp_path / "0.png") is None
    write_classes(tmp_path / "c" / "train", 1, ("photo", "sketch", "X"))
    write_pictures(tmp_path / "c" / "val" / "images", 1)
    layout = find_layout(tmp_path / "c")
    classes = {"train/photo/0.png": "photo", "train/X/0.png": "X", "val/images/0.png": None}
    assert {name: layout.class_of(tmp_path / "c" / name) for name in classes} == classes
    write_classes(tmp_path / "d", 1, ("cat", "dog", "pred", "BACKGROUND_Google"))
    layout = find_layout(tmp_path / "d")
    classes = {"dog/0.png": "dog", "pred/0.png": None, "BACKGROUND_Google/0.png": None}
    assert {name: layout.class_of(tmp_path / "d" / name) for name in classes} == classes
    write_pictures(tmp_path / "b" / "cat" / "x", 1)
    assert find_layout(tmp_path / "b").class_of(tmp_path / "b/cat/x/0.png") == "cat"


def test_weights_are_tested_on_the_test_part_or_on_all_classes(tmp_path):
    write_classes(tmp_path / "all", 3)
    assert len(evaluation_pictures(tmp_path / "all").test) == 6
    for part, count in {"Training": 4, "Validation": 3}.items():
        write_classes(tmp_path / "split" / part, count)
    write_pictures(tmp_path / "split" / "Testing", 9)
    assert len(evaluation_pictures(tmp_path / "split").test) == 6
    shutil.rmtree(tmp_path / "split" / "Testing")
    write_classes(tmp_path / "split" / "Testing", 2)
    found = evaluation_pictures(tmp_path / "split")
    assert found.test == [(f"Testing/cat/{i}.png", 0) for i in (0, 1)] + [
        (f"Testing/dog/{i}.png", 1) for i in (0, 1)
    ]
    write_classes(tmp_path / "lone" / "train", 3)
    with pytest.raises(BadInput, match="has a folder train, but no test/CLASS or val/CLASS; of"):
        evaluation_pictures(tmp_path / "lone")


def test_unlabeled_pictures_are_found_for_a_list_of_labels(tmp_path):
    write_classes(tmp_path / "CLS-LOC" / "Train")
    write_pictures(tmp_path / "CLS-LOC" / "Val")
    assert find_unlabeled(tmp_path) == tmp_path / "CLS-LOC" / "Val"
    write_classes(tmp_path / "CLS-LOC" / "test")
    assert find_unlabeled(tmp_path) is None
