"""JAX_ENABLE_X64, as in many people's profiles: a run is the same in 32 bits, and so is the net."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import Preprocessing, evaluation
from tests.support.tiny import SMALL
from train.config.config import Config
from train.run_dir.metrics import read_metrics
from train.trainer.train import train


@pytest.fixture
def x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def losses(run_dir):
    return [row["loss"] for row in read_metrics(run_dir) if "loss" in row]


def test_a_run_and_its_resumption_are_those_of_32_bits(tmp_path):
    config = Config().replace(
        net=SMALL,
        batch_size=16,
        steps=2,
        flip=True,
        pca_color="paper",
        pca_color_until=1.0,
    )
    train(config.replace(run_dir=tmp_path / "narrow", steps=4))
    jax.config.update("jax_enable_x64", True)
    try:
        train(config.replace(run_dir=tmp_path / "wide"))
        assert jnp.ones(()).dtype == jnp.float64  # the caller's setting is left alone
        train(config.replace(run_dir=tmp_path / "wide", resume=True, steps=3))
    finally:
        jax.config.update("jax_enable_x64", False)
    train(config.replace(run_dir=tmp_path / "wide", resume=True, steps=4))
    assert losses(tmp_path / "wide") == losses(tmp_path / "narrow")


@pytest.mark.usefixtures("x64")
def test_what_the_library_computes_of_float32_stays_float32():
    params = alexnet_jax.init(jax.random.key(0), SMALL)
    pictures = np.zeros((2, 20, 31, 3), np.uint8)
    images = Preprocessing(stored_size=8, input_size=8, mean=np.ones(3))(pictures)
    keywords = {"architecture": SMALL, "dropout_key": jax.random.key(1)}

    def loss(params):
        return alexnet_jax.apply(params, images, **keywords).sum()

    logits, stats = alexnet_jax.apply_train(params, images, jax.random.key(1), architecture=SMALL)
    computed = {
        "params": params,
        "images": images,
        "gradient": jax.grad(loss)(params),
        "activations": alexnet_jax.activations(params, images, architecture=SMALL),
        "training": (logits, stats),
        "average": evaluation.average_predictions(logits[None], axis=0),
    }
    for name, arrays in computed.items():
        assert {leaf.dtype for leaf in jax.tree.leaves(arrays)} == {jnp.dtype("float32")}, name
