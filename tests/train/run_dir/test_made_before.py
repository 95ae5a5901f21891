"""A run folder that an older version wrote: it resumes, predicts and loads.

`tests/support/made_at_a1eac61/run` is `python -m train.main --net SCALED_4_67 --devices 2 --steps 8
--save-steps 4 --batch-size 16` at commit a1eac61, on JAX 0.12, with the checkpoint of step 8 alone.
"""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import alexnet_jax
from train.config.flags import parse
from train.data.dataset import open_data
from train.inference.predictor import open_predictor
from train.run_dir.metrics import read_metrics
from train.trainer.train import train

RUN = Path(__file__).parents[2] / "support" / "made_at_a1eac61" / "run"
LOSSES_AT_A1EAC61 = {9: 2.60994, 10: 2.53715, 11: 2.41621, 12: 2.21311}
"""The losses that a1eac61 itself logged when it resumed the run to step 12, to six digits."""


def test_a_run_resumes_with_the_losses_that_the_older_version_had(tmp_path):
    run_dir = shutil.copytree(RUN, tmp_path / "run")
    before = read_metrics(run_dir)
    train(parse(["--run-dir", str(run_dir), "--resume", "--steps", "12"]))
    rows = read_metrics(run_dir)
    assert rows[: len(before)] == before
    losses = {row["step"]: row["loss"] for row in rows[len(before) :] if "loss" in row}
    assert losses == pytest.approx(LOSSES_AT_A1EAC61, rel=1e-5)
    assert "test_loss" in rows[-1]  # the test images choose the best checkpoint, as they did
    assert not any("val_loss" in row for row in rows)


def test_the_run_predicts_and_alexnet_jax_loads_the_same_network():
    predictor = open_predictor(RUN)
    assert (predictor.step, predictor.architecture.name) == (8, "SCALED_4_67")
    params, architecture, preprocessing = alexnet_jax.load(RUN)
    assert architecture == predictor.architecture
    jax.tree.map(np.testing.assert_array_equal, params, predictor.params)
    assert preprocessing == predictor.preprocessing
    assert str(preprocessing).startswith("central square to ")
    test = open_data(None, "auto", predictor.stored_size).test
    images = np.stack([test[i]["image"] for i in range(32)])
    logits = np.asarray(predictor.eval_step()(images))[:, 0]
    assert logits.shape == (32, 10)
    assert np.isfinite(logits).all()
