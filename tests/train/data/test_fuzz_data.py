"""A damaged data set is read or refused in one sentence: no traceback, no hang, bounded memory.

FUZZ_EXAMPLES=5000 pytest tests/train/data/test_fuzz_data.py tries 5000 examples a test; else 40.
"""

import json
import shutil
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from tests.support.damage import (
    JSON,
    PATH,
    apply_edits,
    edits,
    fuzzed,
    hypothesis,
    read_or_refuse,
    scratch,
    st,
    with_leaf,
)
from tests.train.data.test_cifar import write_cifar
from tests.train.data.test_idx import write_idx
from train.data.dataset import open_data
from train.data.formats import cifar, idx, imagenet, manifest, records
from train.data.preparation.journal import Journal
from train.data.preparation.prepare import PrepareOptions, prepare

pytestmark = pytest.mark.usefixtures("bounded")


@fuzzed
@hypothesis.given(changes=edits(), zipped=st.booleans())
def test_damaged_idx_files(changes, zipped):
    path = scratch() / ("x.gz" if zipped else "x")
    write_idx(path, np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    path.write_bytes(apply_edits(path.read_bytes(), changes))
    array = read_or_refuse(lambda: idx.read_array(path))
    if array is not None:
        data = idx.read_bytes(path)
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
    path.write_bytes(apply_edits(path.read_bytes(), changes))
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
    (folder / name).write_bytes(apply_edits((folder / name).read_bytes(), changes))
    batches = cifar.find_batches(folder)
    images, labels = read_or_refuse(lambda: cifar.read_split(*batches, "train")) or ([], [])
    assert len(images) == len(labels)
    assert all(label < 10 for label in labels)
    assert all(image.shape == (32, 32, 3) for image in images)
    names = read_or_refuse(lambda: cifar.class_names(*batches))
    assert names is None or len(names) == 10


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A prepared folder of two classes with three pictures each."""
    from PIL import Image

    root = tmp_path_factory.mktemp("pictures")
    for split in ("train", "val"):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (20, 20), (70 * i, 9, 9)).save(root / split / name / f"{i}.png")
    out = tmp_path_factory.mktemp("shards") / "out"
    prepare(PrepareOptions(source=root, out=out, size=16, shard_size=10))
    return out


def read_pictures(folder):
    """The training examples, None for each that is refused."""
    data = open_data(folder, "records", 16)
    read_or_refuse(data.train.labeled_names)
    return [read_or_refuse(lambda i=i: data.train[i]) for i in range(len(data.train))]


@pytest.mark.parametrize("checked", [True, False], ids=["with digests", "too large for digests"])
@fuzzed
@hypothesis.given(changes=edits())
def test_damaged_shards(shards, checked, changes):
    folder = shutil.copytree(shards, scratch() / "out")
    originals = read_pictures(folder)
    [path] = folder.glob("train-*")
    data = path.read_bytes()
    path.write_bytes(apply_edits(data, changes)[: len(data)].ljust(len(data), b"\0"))
    digest_limit = records._DIGEST_BYTES
    try:
        records._DIGEST_BYTES = digest_limit if checked else 0
        examples = read_or_refuse(lambda: read_pictures(folder))
    finally:
        records._DIGEST_BYTES = digest_limit
    for example, original in zip(examples or [], originals):
        if example is None:
            continue
        assert example["image"].shape == (16, 16, 3)
        assert example["label"] in (0, 1)
        if checked:
            np.testing.assert_array_equal(example["image"], original["image"])
    shutil.rmtree(folder)


@fuzzed
@hypothesis.given(path=PATH, leaf=JSON | st.sampled_from(["..", "../train", "a\0b", "/etc/passwd"]))
def test_manifests_with_another_value_somewhere(shards, path, leaf):
    folder = shutil.copytree(shards, scratch() / "out")
    values = json.loads((folder / manifest.NAME).read_text())
    (folder / manifest.NAME).write_text(json.dumps(with_leaf(values, path, leaf)))
    examples = read_or_refuse(lambda: read_pictures(folder))
    assert examples is None or len(examples) == 6
    for shard in (read_or_refuse(lambda: manifest.read(folder)) or empty_manifest()).shards[
        "train"
    ]:
        assert (folder / shard.file).resolve().parent == folder.resolve()
    shutil.rmtree(folder)


def empty_manifest():
    return manifest.Manifest({}, (), {}, {"train": ()})


@fuzzed
@hypothesis.given(changes=edits(), compressed=st.booleans(), inside=st.booleans())
def test_damaged_tables_of_the_devkit(changes, compressed, inside):
    """SciPy's reader crashes the process on some of them. `inside` damages the compressed data."""
    path = scratch() / "meta.mat"
    kinds = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    rows = [(float(i), f"n{i:08}", "kit fox, Vulpes macrotis", 0.0) for i in range(1, 9)]
    table = np.array([*rows, (9.0, "n00001740", "entity", 3.0)], kinds).reshape(-1, 1)
    savemat(path, {"synsets": table}, do_compression=compressed)
    data = path.read_bytes()
    if compressed and inside:
        start, size = 136, int.from_bytes(data[132:136], "little")  # of the only variable
        variable = zlib.compress(apply_edits(zlib.decompress(data[start : start + size]), changes))
        path.write_bytes(data[:132] + len(variable).to_bytes(4, "little") + variable)
    else:
        path.write_bytes(apply_edits(data, changes))
    for read in (imagenet.read_synsets, imagenet.read_descriptions):
        read_or_refuse(lambda read=read: read(path))


@fuzzed
@hypothesis.given(changes=edits(), lines=st.lists(JSON, max_size=3))
def test_damaged_journals_of_preparation(changes, lines):
    folder = scratch()
    shard = {"file": "a", "pictures": 1, "bytes": 2, "sha256": "0", "odd": {}, "left_out": {}}
    rows = [{"size": 16}, shard, *lines]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / manifest.JOURNAL).write_bytes(apply_edits(text, changes))
    log = read_or_refuse(lambda: Journal(folder, {"size": 16}))
    for name in log.shards if log else ():
        assert (folder / name).resolve().parent == folder.resolve()
