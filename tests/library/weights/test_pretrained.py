"""Published weights by name, from a server on loopback: fetched, resumed, checked, kept."""

import hashlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import weights
from alexnet_jax.weights import known_files, pretrained
from alexnet_jax.weights.known_files import PRETRAINED, KnownFile, Pretrained
from tests.support.file_server import serving
from tests.support.tiny import TINY, draw_params

NET = TINY.with_classes(1000)
NOWHERE = "http://127.0.0.1:9/tiny.safetensors"  # nothing listens on port 9
NAME = "tiny.safetensors"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A small file of weights of a network with 1,000 classes."""
    path = tmp_path_factory.mktemp("weights") / NAME
    preprocessing = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=np.zeros(3))
    alexnet_jax.save(path, draw_params(NET), NET, preprocessing)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "a cache"
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "*")
    return folder


@pytest.fixture
def server(cache, content):
    with serving() as server:
        server.files[NAME] = content
        yield server


@pytest.fixture
def publish(monkeypatch, content):
    """Return a function that publishes the file as "tiny" at some addresses."""

    def publish(*addresses, digest=None, former=()):
        digest = digest or hashlib.sha256(content).hexdigest()
        file = KnownFile("a tiny", NAME, "sha256", digest, addresses)
        entry = Pretrained(("tiny", "small"), file, former)
        monkeypatch.setitem(PRETRAINED, "tiny", entry)

    return publish


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refusal(name="tiny"):
    with pytest.raises(ValueError, match=r".") as caught:
        alexnet_jax.load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_name_is_fetched_once_with_its_progress_and_its_class_names(
    server, cache, publish, content, capsys
):
    publish(server.address(NAME))
    loaded = weights.read("tiny")
    assert (loaded.params["conv1"].weights == draw_params(NET)["conv1"].weights).all()
    assert loaded.class_names[388] == "giant panda, panda, panda bear, coon bear, " + (
        "Ailuropoda melanoleuca"
    )
    assert (cache / NAME).read_bytes() == content
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"fetching {server.address(NAME)}"
    assert last.startswith(f"{NAME}: 0.1 MB of 0.1 MB, ")
    for name in ("Tiny", "small", NAME):
        _, net, _ = alexnet_jax.load(name)
        assert net == NET
    assert server.requests == [(NAME, None)]
    assert names(cache) == [NAME]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_one_line_changes_while_the_file_comes(server, cache, publish, capsys):
    publish(server.address(NAME))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr.isatty", lambda: True)
        alexnet_jax.load("tiny")
    first, line, rest = capsys.readouterr().err.split("\n")
    assert (first, rest) == (f"fetching {server.address(NAME)}", "")
    before, *states = line.split("\r")
    assert before == ""
    assert len(states) >= 2
    assert all(state.startswith(f"{NAME}: 0.1 MB of 0.1 MB, ") for state in states)


def test_a_cut_connection_goes_on_from_where_it_was_cut(server, cache, publish, content):
    server.cuts = [1000, 5000]
    publish(server.address(NAME))
    alexnet_jax.load("tiny")
    assert server.requests == [(NAME, None), (NAME, "bytes=1000-"), (NAME, "bytes=6000-")]
    assert (cache / NAME).read_bytes() == content


def test_the_next_call_goes_on_with_what_an_earlier_one_has_left(server, cache, publish, content):
    server.cuts = [7000, 0]
    publish(server.address(NAME))
    assert "the connection ended after 0.0 MB" in refusal()
    assert (cache / f"{NAME}.part").read_bytes() == content[:7000]
    alexnet_jax.load("tiny")
    assert server.requests[-1] == (NAME, "bytes=7000-")
    assert (cache / NAME).read_bytes() == content
    assert names(cache) == [NAME]


def test_a_server_without_ranges_sends_the_file_from_its_beginning(server, cache, publish, content):
    server.ranges, server.cuts = False, [7000]
    publish(server.address(NAME))
    alexnet_jax.load("tiny")
    assert server.requests[1] == (NAME, "bytes=7000-")
    assert (cache / NAME).read_bytes() == content


@pytest.mark.parametrize("left", ["too much", "another", "all of it"])
def test_whatever_a_part_file_holds_the_published_file_is_what_is_kept(
    server, cache, publish, content, left
):
    cache.mkdir()
    parts = {"too much": content + b"more", "another": 9000 * b"x", "all of it": content}
    (cache / f"{NAME}.part").write_bytes(parts[left])
    publish(server.address(NAME))
    alexnet_jax.load("tiny")
    assert (cache / NAME).read_bytes() == content
    assert len(server.requests) == (1 if left == "all of it" else 2)
    assert names(cache) == [NAME]


def test_mirrors_are_tried_in_turn_and_another_file_is_not_kept(server, cache, publish, content):
    server.files["other"] = content[:-1] + b"x"
    server.moved["moved"] = server.address(NAME)
    publish(NOWHERE, server.address("gone"), server.address("other"), server.address("moved"))
    alexnet_jax.load("tiny")
    assert [path for path, _ in server.requests] == ["gone", "other", "moved", NAME]
    assert (cache / NAME).read_bytes() == content


def test_without_a_network_the_message_says_where_to_put_the_file_by_hand(
    server, cache, publish, content
):
    server.files["other"] = b"another file"
    publish(NOWHERE, server.address("other"), server.address("gone"))
    message = refusal()
    assert message.startswith(f"tiny cannot be fetched from {NOWHERE} (Connection refused) and ")
    assert f"{server.address('other')} (it sent another file than the published one" in message
    assert f"{server.address('gone')} (HTTP status 404 Not Found)" in message
    assert message.endswith(f"; the file can also be put there by hand, as {cache / NAME}")
    assert names(cache) == []
    (cache / NAME).write_bytes(content)
    alexnet_jax.load("tiny")


def test_a_page_in_place_of_the_file_is_refused(server, cache, publish):
    server.content_type = "text/html; charset=utf-8"  # as of a network that asks for a login
    publish(server.address(NAME))
    assert "it sent a page in place of the file" in refusal()
    assert names(cache) == []


def test_a_file_put_there_by_hand_is_checked_too(cache, publish, content):
    former = KnownFile("a tiny", "former.safetensors", "md5", hashlib.md5(content).hexdigest()[:8])
    publish(NOWHERE, digest=64 * "0", former=(former,))
    cache.mkdir()
    (cache / NAME).write_bytes(content)
    message = refusal()
    assert message.startswith(f"{cache / NAME} is damaged, or another file: the SHA256 of the ")
    assert "begins with 00000000" in message
    assert names(cache) == [NAME]
    (cache / NAME).rename(cache / "former.safetensors")
    alexnet_jax.load("tiny")  # by its superseded digest


def test_of_two_callers_at_once_the_second_waits_for_the_first(server, cache, publish, content):
    server.gate = threading.Event()
    publish(server.address(NAME))
    calls = [threading.Thread(target=alexnet_jax.load, args=("tiny",)) for _ in range(2)]
    for call in calls:
        call.start()
    deadline = time.monotonic() + 10
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    server.gate.set()
    for call in calls:
        call.join()
    assert server.requests == [(NAME, None)]
    assert (cache / NAME).read_bytes() == content
    assert names(cache) == [NAME]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ALEXNET_JAX_CACHE": "/a/b c", "XDG_CACHE_HOME": "/x"}, "/a/b c"),
        ({"ALEXNET_JAX_CACHE": "~/c", "HOME": "/home/me"}, "/home/me/c"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/me"}, "/x/alexnet_jax"),
        ({"HOME": "/home/me"}, "/home/me/.cache/alexnet_jax"),
        ({"ALEXNET_JAX_CACHE": " ", "HOME": "/home/me"}, "/home/me/.cache/alexnet_jax"),
        ({"XDG_CACHE_HOME": "x", "HOME": "/home/me"}, "/home/me/.cache/alexnet_jax"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, variables, folder):
    for name in ("ALEXNET_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(pretrained.cache_folder()) == folder


def test_a_cache_in_the_home_of_nobody_is_refused_and_a_relative_one_is_absolute(monkeypatch):
    monkeypatch.setenv("ALEXNET_JAX_CACHE", "~nobody-of-this-name/c")
    with pytest.raises(ValueError, match="ALEXNET_JAX_CACHE is ~nobody-of-this-name/c"):
        pretrained.cache_folder()
    monkeypatch.setenv("ALEXNET_JAX_CACHE", "c")
    assert pretrained.cache_folder() == Path.cwd() / "c"


def test_a_cache_that_cannot_be_written_is_named(server, cache, publish, monkeypatch):
    cache.write_text("no folder")
    publish(server.address(NAME))
    assert refusal().startswith(f"tiny cannot be kept in {cache}: File exists; ALEXNET_JAX_CACHE")
    cache.unlink()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    assert f"tiny cannot be kept in {cache}: No space left on device; A" in refusal()


def test_an_unknown_name_is_told_the_names_and_a_path_comes_first(
    tmp_path, monkeypatch, cache, content, capsys
):
    monkeypatch.chdir(tmp_path)
    assert refusal("alexnet") == (
        "alexnet is no file, no folder, and no name of published weights: torchvision, caffe, "
        "caffenet, onnx, caffenet-onnx, matconvnet, caffenet-matconvnet, matconvnet-alexnet, "
        "toronto"
    )
    with pytest.raises(FileNotFoundError):
        alexnet_jax.load("missing.pth")
    (tmp_path / "caffe").write_bytes(content)
    assert weights.read("caffe").class_names == ()
    note = "note: caffe is the path of this name, not the published weights; "
    assert capsys.readouterr().err.startswith(note)


def test_a_file_read_by_its_path_has_class_names_if_its_digest_is_a_published_one(
    tmp_path, monkeypatch, content
):
    (tmp_path / "mine").write_bytes(content)
    assert weights.read(tmp_path / "mine").class_names == ()
    known = KnownFile("our own", NAME, "md5", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(known_files, "KNOWN_FILES", (known,))
    assert weights.read(tmp_path / "mine").class_names == weights.imagenet.class_names()


def test_every_name_is_one_of_a_published_file_with_an_address_and_a_digest():
    aliases = [alias for entry in PRETRAINED.values() for alias in entry.names]
    assert len({*aliases}) == len(aliases)
    for name, entry in PRETRAINED.items():
        assert known_files.find(name.upper()) is entry
        assert known_files.find(entry.file.name) is entry
        for file in entry.files:
            lengths = {"sha256": 64, "sha1": 40, "md5": 32, "": 0}
            assert len(file.digest) in (lengths[file.algorithm], 8)
            assert all(address.endswith("/" + file.name) for address in file.addresses)
        assert entry.file.addresses


def test_the_classes_of_imagenet_are_sorted_by_synset_and_called_as_everywhere():
    synsets, class_names = [*weights.imagenet.descriptions()], weights.imagenet.class_names()
    assert synsets == sorted(synsets)
    assert len({*synsets}) == len(class_names) == 1000
    # Indices that torchvision's and Keras's users know.
    known = {0: "tench", 207: "golden retriever", 281: "tabby", 463: "bucket", 895: "warplane"}
    known |= {134: "crane", 517: "crane", 980: "volcano", 999: "toilet tissue"}
    assert {i: class_names[i].split(",")[0] for i in known} == known
    assert (synsets[0], synsets[999]) == ("n01440764", "n15075141")


def test_the_classes_in_the_order_of_the_development_kit_are_the_same_classes():
    ordered = weights.imagenet.descriptions(devkit=True)
    assert ordered == weights.imagenet.descriptions()
    synsets, class_names = [*ordered], weights.imagenet.class_names(devkit=True)
    # The first three of the kit's readme, and where plants and things begin.
    assert synsets[:3] == ["n02119789", "n02100735", "n02110185"]
    known = {0: "kit fox", 1: "English setter", 2: "Siberian husky", 218: "revolver", 356: "daisy"}
    assert {i: class_names[i].split(",")[0] for i in known} == known
