"""Damaged files end in a sentence or in what they hold: no traceback, no hang, bounded memory.

FUZZ_EXAMPLES=5000 pytest tests/test_fuzz.py tries as many of each; the suite, a few.
"""

import datetime
import json
import os
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from alexnet_jax.weights import digests
from tests.test_cifar import write_cifar
from tests.test_idx import write_idx
from train import config as configuration
from train.config import BadInput, Config
from train.data import cifar, idx, manifest, records
from train.data.journal import Journal
from train.data.preparation import Options, prepare
from train.data.sources import open_data
from train.data.statistics import read_mean
from train.metrics import MetricsLog, read_metrics
from train.run_folder import check_data, net_of, stored_size

hypothesis = pytest.importorskip("hypothesis", reason="the extra test installs it")
from hypothesis import strategies as st  # noqa: E402

MOST_MEGABYTES = 400  # that a test's examples may add to the memory of the process
fuzzed = hypothesis.settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")),
    deadline=datetime.timedelta(seconds=30),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(autouse=True)
def bounded(tmp_path, monkeypatch):
    """Compare the largest memory of the process before and after a test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1024 * MOST_MEGABYTES


def scratch():
    """A new folder: pytest's own would be numbered in thousands."""
    return Path(tempfile.mkdtemp())


@st.composite
def edits(draw):
    """Some ways to damage bytes, with places from 0 to 1."""
    ways = st.sampled_from(["set", "insert", "cut", "end"])
    place = st.floats(0, 1, exclude_max=True)
    return draw(st.lists(st.tuples(ways, place, st.binary(min_size=1, max_size=9)), min_size=1))


def damaged(whole, changes):
    data = bytearray(whole)
    for way, place, some in changes:
        at = int(place * len(data))
        match way:
            case "set":
                data[at : at + len(some)] = some[: len(data) - at]
            case "insert":
                data[at:at] = some
            case "cut":
                del data[at : at + 7 * len(some)]
            case "end":
                del data[at:]
    return bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
DEEP = "[" * 100_000


def with_leaf(values, path, leaf):
    """JSON values with another one in a place that `path` leads to, as far as it does."""
    if not path or not values or not isinstance(values, dict | list):
        return leaf
    step, *rest = path
    keys = list(values) if isinstance(values, dict) else range(len(values))
    key = keys[step % len(keys)]
    changed = values.copy()
    changed[key] = with_leaf(values[key], rest, leaf)
    return changed


DIGITS = open_data(None, "auto", 28)
PATH = st.lists(st.integers(0, 99), max_size=5)


def read_or_refuse(read):
    """Return what is read; None if it is refused, in one line."""
    try:
        return read()
    except BadInput as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


@fuzzed
@hypothesis.given(changes=edits(), zipped=st.booleans())
def test_damaged_idx_files(changes, zipped):
    path = scratch() / ("x.gz" if zipped else "x")
    write_idx(path, np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    path.write_bytes(damaged(path.read_bytes(), changes))
    array = read_or_refuse(lambda: idx.read(path))
    if array is not None:
        data = idx.unpacked(path)
        shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
        assert list(array.shape) == shape
        assert array.tobytes() == data[4 + 4 * data[3] :]


@fuzzed
@hypothesis.given(changes=edits(), which=st.sampled_from(["images", "labels"]))
def test_damaged_idx_data_sets(changes, which):
    folder = scratch()
    for split in ("train", "t10k"):
        write_idx(folder / f"{split}-images-idx3-ubyte", np.zeros((4, 5, 6), np.uint8))
        write_idx(folder / f"{split}-labels-idx1-ubyte", np.array([0, 1, 2, 1], np.uint8))
    path = folder / f"train-{which}-idx{3 if which == 'images' else 1}-ubyte"
    path.write_bytes(damaged(path.read_bytes(), changes))
    data = read_or_refuse(lambda: open_data(folder, "auto", 8))
    if data is not None:
        for i in range(len(data.train)):
            example = data.train[i]
            assert example["image"].shape == (8, 8, 3)
            assert example["label"] < len(data.class_names) <= 3


@fuzzed
@hypothesis.given(changes=edits(), name=st.sampled_from(["data_batch_2.bin", "batches.meta.txt"]))
def test_damaged_batches_of_cifar(changes, name):
    folder = scratch()
    write_cifar(folder, np.random.default_rng(0))
    (folder / name).write_bytes(damaged((folder / name).read_bytes(), changes))
    found = cifar.find(folder)
    images, labels = read_or_refuse(lambda: cifar.read_split(*found, "train")) or ([], [])
    assert len(images) == len(labels)
    assert all(label < 10 for label in labels)
    assert all(image.shape == (32, 32, 3) for image in images)
    names = read_or_refuse(lambda: cifar.class_names(*found))
    assert names is None or len(names) == 10


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Records of two classes, three pictures each, and their manifest."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    for split in ("train", "val"):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (20, 20), (70 * i, 9, 9)).save(root / split / name / f"{i}.png")
    out = tmp_path_factory.mktemp("shards") / "out"
    prepare(Options(source=root, out=out, size=16, shard_size=10))
    return out


def pictures_of(folder):
    """Every training picture that can be read, None for one that is refused."""
    data = open_data(folder, "records", 16)
    return [read_or_refuse(lambda i=i: data.train[i]) for i in range(len(data.train))]


@pytest.mark.parametrize("checked", [True, False], ids=["with digests", "too large for digests"])
@fuzzed
@hypothesis.given(changes=edits())
def test_damaged_shards(shards, checked, changes):
    folder = shutil.copytree(shards, scratch() / "out")
    whole = pictures_of(folder)
    [path] = folder.glob("train-*")
    data = path.read_bytes()
    path.write_bytes(damaged(data, changes)[: len(data)].ljust(len(data), b"\0"))
    quickly_read = records._QUICKLY_READ
    try:
        records._QUICKLY_READ = quickly_read if checked else 0
        found = read_or_refuse(lambda: pictures_of(folder))
    finally:
        records._QUICKLY_READ = quickly_read
    for example, before in zip(found or [], whole):
        if example is None:
            continue
        assert example["image"].shape == (16, 16, 3)
        assert example["label"] in (0, 1)
        if checked:
            np.testing.assert_array_equal(example["image"], before["image"])
    shutil.rmtree(folder)


@fuzzed
@hypothesis.given(path=PATH, leaf=JSON | st.sampled_from(["..", "../train", "a\0b", "/etc/passwd"]))
def test_manifests_with_another_value_somewhere(shards, path, leaf):
    folder = shutil.copytree(shards, scratch() / "out")
    values = json.loads((folder / manifest.NAME).read_text())
    (folder / manifest.NAME).write_text(json.dumps(with_leaf(values, path, leaf)))
    found = read_or_refuse(lambda: pictures_of(folder))
    assert found is None or len(found) == 6
    for shard in (read_or_refuse(lambda: manifest.read(folder)) or values_of_none()).shards[
        "train"
    ]:
        assert (folder / shard.file).resolve().parent == folder.resolve()
    shutil.rmtree(folder)


def values_of_none():
    return manifest.Manifest({}, (), {}, {"train": ()})


@fuzzed
@hypothesis.given(changes=edits(), lines=st.lists(JSON, max_size=3))
def test_damaged_journals_of_preparation(changes, lines):
    folder = scratch()
    shard = {"file": "a", "pictures": 1, "bytes": 2, "sha256": "0", "odd": {}, "left_out": {}}
    rows = [{"size": 16}, shard, *lines]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / manifest.JOURNAL).write_bytes(damaged(text, changes))
    log = read_or_refuse(lambda: Journal(folder, {"size": 16}))
    for name in log.made if log else ():
        assert (folder / name).resolve().parent == folder.resolve()


def read_run(folder):
    """All that is read of a run's folder when it is opened, but its checkpoints."""
    config = configuration.load(folder)
    size = stored_size(config, net_of(config))
    check_data(folder, DIGITS)
    return size


@fuzzed
@hypothesis.given(path=PATH, leaf=JSON, changes=st.none() | edits())
def test_damaged_configurations(path, leaf, changes):
    folder = scratch()
    configuration.save(Config(run_dir=folder), {"data": DIGITS.record(), "command": []})
    text = (folder / "config.json").read_bytes()
    if changes:
        text = damaged(text, changes)
    else:
        text = json.dumps(with_leaf(json.loads(text), path, leaf)).encode()
    (folder / "config.json").write_bytes(text)
    size = read_or_refuse(lambda: read_run(folder))
    assert size is None or size >= 24


@fuzzed
@hypothesis.given(changes=edits(), line=JSON)
def test_damaged_metrics_and_means(changes, line):
    folder = scratch()
    with MetricsLog(folder, 0) as log:
        for step in range(1, 9):
            log.write(step, {"loss": 1 / step})
    rows = (folder / "metrics.jsonl").read_bytes() + json.dumps({"step": line}).encode()
    (folder / "metrics.jsonl").write_bytes(damaged(rows, changes))
    for row in read_metrics(folder):
        assert all(np.isfinite(float(value)) for value in row.values())
    np.save(folder / "mean.npy", np.ones((4, 4, 3), np.float32))
    (folder / "mean.npy").write_bytes(damaged((folder / "mean.npy").read_bytes(), changes))
    mean = read_or_refuse(lambda: read_mean(folder, 4))
    assert mean is None or (mean.shape == (4, 4, 3) and np.isfinite(mean).all())


@fuzzed
@hypothesis.given(changes=edits(), path=PATH, leaf=JSON)
def test_damaged_digests(changes, path, leaf):
    folder = scratch()
    (folder / "state").mkdir()
    (folder / "state" / "d").write_bytes(bytes(range(256)))
    digests.write(folder)
    assert digests.fault(folder) is None
    text = (folder / digests.NAME).read_bytes()
    (folder / digests.NAME).write_text(json.dumps(with_leaf(json.loads(text), path, leaf)))
    same = json.loads((folder / digests.NAME).read_text()) == json.loads(text)
    assert (digests.fault(folder) is None) is same
    (folder / digests.NAME).write_bytes(damaged(text, changes))
    digests.fault(folder)


@pytest.mark.parametrize("text", [DEEP, '{"config": ' + DEEP, "9" * 10_000, "\ufeff{}", "NaN"])
def test_json_that_is_deep_or_long_is_refused(tmp_path, text):
    for name in ("config.json", manifest.NAME, digests.NAME, "metrics.jsonl", manifest.JOURNAL):
        (tmp_path / name).write_text(text)
    assert read_or_refuse(lambda: configuration.load(tmp_path)) is None
    assert read_or_refuse(lambda: manifest.read(tmp_path)) is None
    assert manifest.is_there(tmp_path)
    assert read_metrics(tmp_path) == []
    assert digests.fault(tmp_path)
    (tmp_path / manifest.NAME).unlink()
    assert Journal(tmp_path, {}).made == {}
