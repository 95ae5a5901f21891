"""`train.fetch` of data sets that are one archive, from a local server."""

import dataclasses
import hashlib
import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.support.file_server import serving
from train import fetch
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.download.catalog import ARCHIVES


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as server:
        yield server


def packed(files, *, extra=()):
    """A .tgz of files by their names, and of further members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member)
    return stream.getvalue()


def jpeg(color):
    stream = io.BytesIO()
    Image.new("RGB", (12, 10), color).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def flowers():
    names = [f"{kind}/{i}.jpg" for kind in ("daisy", "roses") for i in range(12)]
    files = {f"flower_photos/{n}": jpeg((10 * i, 9, 8)) for i, n in enumerate(names)}
    return files | {"flower_photos/LICENSE.txt": b"free"}


@pytest.fixture
def publish(server, monkeypatch):
    """Return a function that serves an archive in place of a published one, and its digest."""

    def start(name, archive, count, *, size=None):
        server.files[ARCHIVES[name].name] = archive
        [(ending, _)] = ARCHIVES[name].counts
        own = dataclasses.replace(
            ARCHIVES[name],
            addresses=(server.address(ARCHIVES[name].name),),
            md5=None if size else hashlib.md5(archive).hexdigest(),
            size=size,
            counts=((ending, count),),
        )
        monkeypatch.setitem(ARCHIVES, name, own)

    return start


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def unpacked(files):
    return {name.partition("/")[2]: data for name, data in files.items()}


def without_digests(folder):
    return {name: data for name, data in contents(folder).items() if name != "digests.json"}


def test_cifar_10_is_fetched_and_can_be_trained_on(publish, tmp_path, rng, capsys):
    batches = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    records = {name: rng.integers(0, 10, (20, 3073), np.uint8).tobytes() for name in batches}
    files = {f"cifar-10-batches-bin/{name}.bin": data for name, data in records.items()}
    names = "\n".join(f"class_{i}" for i in range(10))
    publish("cifar10", packed(files | {"cifar-10-batches-bin/batches.meta.txt": names.encode()}), 6)
    fetch.main(["cifar10", str(tmp_path / "new" / "data")])
    folder = tmp_path / "new" / "data" / "cifar-10-batches-bin"
    assert f"{folder} from cifar-10-binary.tar.gz, checked by its" in capsys.readouterr().out
    for data in (folder, folder.parent):
        train = open_data(data, "auto", 32).train
        assert len(train) == 100
    first = np.frombuffer(records["data_batch_1"][1:3073], np.uint8).reshape(3, 32, 32)
    np.testing.assert_array_equal(train[0]["image"], first.transpose(1, 2, 0))


def test_photographs_without_a_digest_are_checked_by_size_and_count(
    publish, flowers, tmp_path, capsys
):
    archive = packed(flowers)
    publish("flowers", archive, 24, size=len(archive))
    fetch.main(["flowers", str(tmp_path)])
    out = capsys.readouterr().out
    assert "checked by its size, since no digest is published, and the number of files" in out
    assert f"--data {tmp_path}/flower_photos trains on them" in out
    assert without_digests(tmp_path / "flower_photos") == unpacked(flowers)
    assert open_data(tmp_path / "flower_photos", "auto", 12).class_names == ("daisy", "roses")


def test_a_complete_folder_is_not_fetched_again(publish, server, flowers, tmp_path, capsys):
    publish("flowers", packed(flowers), 24)
    fetch.fetch("flowers", tmp_path)
    server.requests.clear()
    fetch.fetch("flowers", tmp_path)
    assert server.requests == []
    assert f"{tmp_path}/flower_photos is complete" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
@pytest.mark.parametrize("archive_left", [True, False])
def test_damaged_files_are_mended_and_others_stay(
    publish, server, flowers, tmp_path, damage, archive_left
):
    publish("flowers", packed(flowers), 24)
    fetch.fetch("flowers", tmp_path)
    folder = tmp_path / "flower_photos"
    (folder / "notes.txt").write_text("mine")
    victim = folder / "roses" / "3.jpg"
    if damage == "missing":
        victim.unlink()
    else:
        data = victim.read_bytes()
        victim.write_bytes(data[:-9] if damage == "cut" else data[:-1] + b"x")
    if not archive_left:
        (tmp_path / "flower_photos.tgz").unlink()
    server.requests.clear()
    fetch.fetch("flowers", tmp_path)
    assert len(server.requests) == (not archive_left)
    assert without_digests(folder) == unpacked(flowers) | {"notes.txt": b"mine"}


def test_a_download_that_is_cut_off_continues(publish, server, flowers, tmp_path):
    archive = packed(flowers)
    publish("flowers", archive, 24)
    server.cuts = [500, 0]
    with pytest.raises(BadInput, match=r"no source provided flower_photos.tgz: .* ended after"):
        fetch.fetch("flowers", tmp_path)
    assert (tmp_path / "flower_photos.tgz.part").read_bytes() == archive[:500]
    fetch.fetch("flowers", tmp_path)
    assert [start for _, start in server.requests] == [None, "bytes=500-", "bytes=500-"]
    assert without_digests(tmp_path / "flower_photos") == unpacked(flowers)


def test_what_killed_processes_left_is_removed(publish, flowers, tmp_path):
    publish("flowers", packed(flowers), 24)
    left = [tmp_path / f"flower_photos.{number}.tmp" for number in (2**22 + 1, 1)]
    for folder in left:
        (folder / "roses").mkdir(parents=True)
    fetch.fetch("flowers", tmp_path)
    assert [folder.exists() for folder in left] == [False, True]  # process 1 is running


def test_another_archive_is_refused(publish, server, flowers, tmp_path):
    publish("flowers", packed(flowers), 24)
    server.files["flower_photos.tgz"] = packed({"flower_photos/a.jpg": b"other"})
    with pytest.raises(BadInput, match="sent another file than the published one"):
        fetch.fetch("flowers", tmp_path)
    assert contents(tmp_path) == {}


def test_a_folder_of_that_name_from_elsewhere_is_left_alone(publish, server, flowers, tmp_path):
    publish("flowers", packed(flowers), 24)
    (tmp_path / "flower_photos").mkdir()
    (tmp_path / "flower_photos" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(BadInput, match="flower_photos was not written by this command"):
        fetch.fetch("flowers", tmp_path)
    assert contents(tmp_path) == {"flower_photos/mine.jpg": b"mine"}
    assert server.requests == []


def test_a_file_of_the_archives_name_is_left_alone(publish, flowers, tmp_path):
    publish("flowers", packed(flowers), 24)
    (tmp_path / "flower_photos.tgz").write_bytes(b"mine")
    with pytest.raises(BadInput, match=r"flower_photos\.tgz is another file than the published"):
        fetch.fetch("flowers", tmp_path)
    assert contents(tmp_path) == {"flower_photos.tgz": b"mine"}


def link(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"no archive", "cannot be unpacked"),
        (packed({"flower_photos/a.jpg": bytes(2000)})[:-40], "cannot be unpacked"),
        (packed({"flower_photos/a.jpg": b"1"}), "has 1 files .jpg, not 24"),
        (packed({"flower_photos/../../outside": b"1"}), "cannot be unpacked"),
        (packed({"flower_photos/a.jpg": bytes(10**7)}), "unpacks to over 20 times its size"),
        (
            packed({}, extra=[link("flower_photos/out", "/tmp"), link("flower_photos/a.jpg", "b")]),
            "has 0 files .jpg, not 24",
        ),
    ],
    ids=["no-tar", "cut", "few", "outside", "bomb", "links"],
)
def test_an_archive_with_other_content_is_refused(publish, tmp_path, archive, words):
    publish("flowers", archive, 24)
    with pytest.raises(BadInput, match=words):
        fetch.fetch("flowers", tmp_path / "data")
    assert os.listdir(tmp_path / "data") == ["flower_photos.tgz"]
    assert not (tmp_path / "outside").exists()


def test_a_folder_that_cannot_be_written_is_named(publish, flowers, tmp_path, monkeypatch):
    publish("flowers", packed(flowers), 24)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BadInput, match="cannot be written: No space left on device"):
        fetch.fetch("flowers", tmp_path)
    assert not (tmp_path / "flower_photos").exists()


def fail(*_):
    raise OSError(28, "No space left on device")
