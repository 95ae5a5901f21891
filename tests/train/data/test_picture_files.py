"""The pictures below a folder: links, and what is no picture."""

import os
import socket
from collections import Counter

import pytest
from PIL import Image

from tests.support.picture_folders import CLASSES, write_classes, write_pictures
from train.config.errors import BadInput
from train.data.formats.image_folder import find_pictures
from train.data.formats.picture_files import list_pictures, subfolders


def total(root):
    found = find_pictures(root)
    return len(found.train) + len(found.test), found.class_names


def test_a_link_to_a_folder_of_pictures_is_followed(tmp_path):
    write_pictures(tmp_path / "shared" / "a" / "b", 4)
    write_classes(tmp_path / "data", 2)
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "shared")
    (tmp_path / "data" / "emu").symlink_to(tmp_path / "shared")
    found = find_pictures(tmp_path / "data")
    assert total(tmp_path / "data") == (2 + 4 + 2 + 4, ("cat", "dog", "emu"))
    assert ("cat/more/a/b/3.png", 0) in found.train + found.test


def test_every_folder_is_read_once_and_loops_end(tmp_path):
    write_classes(tmp_path, 3)
    links = {"up": "..", "self": ".", "root": str(tmp_path), "other": "../cat"}
    for name, target in links.items():
        (tmp_path / "cat" / name).symlink_to(target)
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "dog" / "x").mkdir()
    for name in "abcdefgh":  # with each other, 8! paths
        (tmp_path / "dog" / "x" / name).mkdir()
        for other in "abcdefgh":
            (tmp_path / "dog" / "x" / name / other).symlink_to(f"../{other}")
    found = find_pictures(tmp_path)
    assert total(tmp_path) == (6, CLASSES)
    assert found.notes[1] == "left out: links to folders that are read already (69)"


def test_what_is_no_picture_is_counted_and_never_opened(tmp_path):
    write_classes(tmp_path, 3)
    cat = tmp_path / "cat"
    for name in (
        "notes.txt",
        "more.TXT",
        "paper.pdf",
        "figure.eps",
        "film.mpg",
        "scan.h5",
        "README",
    ):
        (cat / name).touch()
    (cat / "gone.jpg").symlink_to("nowhere.jpg")
    (cat / "gone").symlink_to("nowhere")
    (cat / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(cat / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(cat / "socket.png"))
        found = find_pictures(tmp_path)
    assert total(tmp_path)[0] == 6
    [_, left_out] = found.notes
    assert left_out.startswith("left out: broken links (3), ")
    for part in (".txt (2)", "pipes, sockets and devices (2)", "other files ("):
        assert part in left_out
    assert sum(int(n) for n in left_out.replace(")", "(").split("(")[1::2]) == 3 + 7 + 2


@pytest.mark.parametrize(
    "name", ["__MACOSX", "@eaDir", ".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN", "#recycle"]
)
def test_folders_of_systems_are_no_classes_and_hold_no_pictures(tmp_path, name):
    write_classes(tmp_path, 3)
    for folder in (tmp_path / name / "cat", tmp_path / "dog" / name):
        write_pictures(folder, 2)
    (tmp_path / "dog" / "._0.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "dog" / "Thumbs.db").touch()
    (tmp_path / "dog" / ".DS_Store").touch()
    found = find_pictures(tmp_path)
    assert total(tmp_path) == (6, CLASSES)
    assert found.notes[1] == "left out: hidden and system files (5)"


def test_pictures_outside_of_class_folders_are_counted(tmp_path):
    write_classes(tmp_path / "train", 3)
    write_classes(tmp_path / "test", 1)
    write_pictures(tmp_path / "train", 2)
    assert find_pictures(tmp_path).notes[1] == "left out: pictures outside of class folders (2)"


def test_a_class_that_loses_all_its_files_says_to_what(tmp_path):
    write_classes(tmp_path, 3)
    (tmp_path / "emu").mkdir()
    for i in range(4):
        (tmp_path / "emu" / f"{i}.heic").touch()
        (tmp_path / "emu" / f"{i}.jpg").symlink_to(f"/nowhere/{i}.jpg")
    with pytest.raises(BadInput, match=r"emu holds no pictures; left out: .heic \(4\), broken lin"):
        find_pictures(tmp_path)


def test_names_are_shown_with_their_control_characters(tmp_path):
    write_classes(tmp_path, 3)
    (tmp_path / "cat" / "a.\x1b[2J").touch()
    assert find_pictures(tmp_path).notes[1] == r"left out: .\x1b[2j (1)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    write_classes(tmp_path, 3)
    (tmp_path / "cat").chmod(0)
    with pytest.raises(BadInput, match="cat cannot be read: Permission denied"):
        find_pictures(tmp_path)


def test_pictures_are_listed_in_the_order_of_their_names(tmp_path):
    for name in ("b/1.png", "a/2.png", "a-b/0.png", "0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    left_out: Counter[str] = Counter()
    assert list_pictures(tmp_path, "", left_out) == ["0.png", "a/2.png", "a-b/0.png", "b/1.png"]
    assert list_pictures(tmp_path, "a") == ["a/2.png"]
    assert list_pictures(tmp_path, "", recursive=False) == ["0.png"]
    assert (subfolders(tmp_path), subfolders(tmp_path / "none")) == (("a", "a-b", "b"), ())
