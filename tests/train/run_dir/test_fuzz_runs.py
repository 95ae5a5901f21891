"""A damaged file of a run is read or refused in one sentence, as damaged data is."""

import json

import numpy as np
import pytest

from alexnet_jax.weights.files import checksums
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
from train.config import saved
from train.config.config import Config
from train.config.network import get_architecture
from train.data.dataset import open_data
from train.data.formats import manifest
from train.data.image_statistics import read_mean
from train.data.preparation.journal import Journal
from train.data.stored_size import stored_size
from train.run_dir.metrics import MetricsLog, read_metrics
from train.run_dir.same_data import check_data

pytestmark = pytest.mark.usefixtures("bounded")
DEEP = "[" * 100_000
DIGITS = open_data(None, "auto", 28)


def read_run(folder):
    """Read all files that opening a run folder reads, except its checkpoints."""
    config = saved.load_config(folder)
    size = stored_size(config, get_architecture(config))
    check_data(folder, DIGITS)
    return size


@fuzzed
@hypothesis.given(path=PATH, leaf=JSON, changes=st.none() | edits())
def test_damaged_configurations(path, leaf, changes):
    folder = scratch()
    saved.save_config(Config().replace(run_dir=folder), {"data": DIGITS.record(), "command": []})
    text = (folder / "config.json").read_bytes()
    if changes:
        text = apply_edits(text, changes)
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
    (folder / "metrics.jsonl").write_bytes(apply_edits(rows, changes))
    for row in read_metrics(folder):
        assert all(np.isfinite(float(value)) for value in row.values())
    np.save(folder / "mean.npy", np.ones((4, 4, 3), np.float32))
    (folder / "mean.npy").write_bytes(apply_edits((folder / "mean.npy").read_bytes(), changes))
    mean = read_or_refuse(lambda: read_mean(folder, 4))
    assert mean is None or (mean.shape == (4, 4, 3) and np.isfinite(mean).all())


@fuzzed
@hypothesis.given(changes=edits(), path=PATH, leaf=JSON)
def test_damaged_digests(changes, path, leaf):
    folder = scratch()
    (folder / "state").mkdir()
    (folder / "state" / "d").write_bytes(bytes(range(256)))
    checksums.write(folder)
    assert checksums.fault(folder) is None
    text = (folder / checksums.NAME).read_bytes()
    (folder / checksums.NAME).write_text(json.dumps(with_leaf(json.loads(text), path, leaf)))
    same = json.loads((folder / checksums.NAME).read_text()) == json.loads(text)
    assert (checksums.fault(folder) is None) is same
    (folder / checksums.NAME).write_bytes(apply_edits(text, changes))
    checksums.fault(folder)


@pytest.mark.parametrize("text", [DEEP, '{"config": ' + DEEP, "9" * 10_000, "\ufeff{}", "NaN"])
def test_json_that_is_deep_or_long_is_refused(tmp_path, text):
    for name in ("config.json", manifest.NAME, checksums.NAME, "metrics.jsonl", manifest.JOURNAL):
        (tmp_path / name).write_text(text)
    assert read_or_refuse(lambda: saved.load_config(tmp_path)) is None
    assert read_or_refuse(lambda: manifest.read(tmp_path)) is None
    assert manifest.exists(tmp_path)
    assert read_metrics(tmp_path) == []
    assert checksums.fault(tmp_path)
    (tmp_path / manifest.NAME).unlink()
    assert Journal(tmp_path, {}).shards == {}
