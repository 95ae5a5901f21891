"""Pictures of three classes, and the records that are made of them."""

import shutil

import pytest

from tests.support.photographs import SYNSETS, write_ilsvrc, write_photograph
from train.data.preparation.prepare import PrepareOptions, prepare


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory):
    """Pictures of three classes, 8 to train on and one to test on in each."""
    root = tmp_path_factory.mktemp("source")
    write_ilsvrc(root)
    shutil.rmtree(root / "val")
    for name in SYNSETS:
        (root / "val" / name).mkdir(parents=True)
        write_photograph(root / "val" / name / "0.JPEG", 7)
    return root


@pytest.fixture(scope="module")
def class_records(class_folders, tmp_path_factory):
    """The pictures of `class_folders` as 32 x 32 records in shards of ten."""
    out = tmp_path_factory.mktemp("class_records") / "out"
    prepare(PrepareOptions(source=class_folders, out=out, size=32, shard_size=10))
    return out


@pytest.fixture
def out(class_records, tmp_path):
    """A copy of `class_records` that a test may damage."""
    return shutil.copytree(class_records, tmp_path / "out")
