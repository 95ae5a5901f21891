"""Atomic writes: a file is replaced by a complete one, or stays as it is."""

import os

import pytest

from alexnet_jax.weights.files.atomic import replacing, write_atomically


@pytest.mark.parametrize("content", [b"\x00\xff", "één"])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(b"older")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_end_of_the_block(tmp_path, monkeypatch):
    path, flushed = tmp_path / "file", []
    path.write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(path.read_bytes()))
    with replacing(path) as temporary:
        assert str(os.getpid()) in temporary.name
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"older"
    assert flushed == [b"older"]  # flushed to disk before the rename
    assert path.read_bytes() == b"new"


def test_a_block_that_raises_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"older")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_target_and_one_about_another_file_does_not(tmp_path):
    missing = tmp_path / "none" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(missing, b"")
    assert str(caught.value) == f"[Errno 2] No such file or directory: '{missing}'"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory: '[^']*/folder'$"):
        write_atomically(tmp_path / "folder", b"")
    with pytest.raises(FileNotFoundError, match="source"), replacing(tmp_path / "file"):
        (tmp_path / "source").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
