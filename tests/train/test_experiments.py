"""The named experiments against their published sources, on the number of images in ImageNet."""

from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

import alexnet_jax
from alexnet_jax import Layer, architectures
from train.config.config import Config, DataConfig
from train.config.experiments import EXPERIMENTS
from train.config.flags import parse
from train.config.run_length import last_step
from train.steps.schedules import initial_plateau
from train.trainer.build import make_optimizer, make_schedule

IMAGES = 1_281_167  # training images of ILSVRC-2012
PARAMS = jax.eval_shape(lambda: alexnet_jax.init(jax.random.key(0)))


def experiment_schedule(name):
    return make_schedule(EXPERIMENTS[name], IMAGES)


def experiment_steps(name):
    return last_step(EXPERIMENTS[name], IMAGES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_flag_experiment_selects_the_recipe_of_that_name(name, capsys):
    config = parse(["--experiment", name, "--data", "here"])
    expected = Config(EXPERIMENTS[name], DataConfig(path=Path("here")))
    assert (config, config.recipe.experiment) == (expected, name)
    assert architectures.by_name(config.recipe.net).name == config.recipe.net
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert name in capsys.readouterr().out.split("Experiments: ")[1].split(".")[0]


def test_caffes_epochs_are_the_steps_of_its_solver():
    """base_lr 0.01, gamma 0.1, stepsize 100000, max_iter 450000; lr_mult 1 and 2."""
    for number, row in enumerate(experiment_schedule("caffe").rows):
        assert row.start == pytest.approx(100_000 * number, rel=1e-3)
        assert row.weights == pytest.approx(0.01 * 0.1**number)
        assert row.biases == 2 * row.weights
    assert number == 4
    assert experiment_steps("caffe") == pytest.approx(450_000, rel=1e-3)


def test_the_papers_run_takes_900_thousand_steps_and_decays_on_a_plateau():
    schedule = experiment_schedule("paper")
    assert experiment_steps("paper") == 900_821  # 90 x 1,281,167 / 128
    assert schedule.on_plateau
    rates = schedule.rates(jnp.int32(0), initial_plateau(), PARAMS)
    assert {float(rate) for rate in jax.tree.leaves(rates)} == {float(jnp.float32(0.01))}


@pytest.mark.parametrize(
    ("name", "decays"),
    [
        ("cifar-19pct", [0.004, 0.004, 0.004, 3]),
        ("cifar-18pct", [0.004, 0.004, 0.004, 1]),
        ("cifar-13pct", [0, 0, 0.004, 0.004, 0.004]),
        ("cifar-11pct", [0, 0, 0.004, 0.004, 0.01]),
    ],
)
def test_a_step_of_a_recipe_for_cifar_is_that_of_cuda_convnets_files(name, decays):
    """Weights: inc = 0.9 inc - 0.001 (wc w + gradient). Biases: inc = 0.9 inc - 0.002 gradient."""
    recipe = EXPERIMENTS[name]
    net = architectures.by_name(recipe.net)
    filled = lambda x: dict.fromkeys(net.parameter_shapes(), Layer(*2 * [jnp.float32(x)]))  # noqa: E731
    w, gradient, inc = (filled(x) for x in (1, 0.01, 0.001))
    rates = make_schedule(recipe, 50_000).rates(jnp.int32(0), initial_plateau(), w)
    after, _ = make_optimizer(recipe, net).update(gradient, optax.TraceState(inc), w, rates=rates)
    for layer, wc in zip(net.parameter_shapes(), decays, strict=True):
        expected = (0.0009 - 0.001 * (wc + 0.01), 0.0009 - 0.002 * 0.01)
        assert [float(x) for x in after[layer]] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("cifar-19pct", (120, 130, 140)),
        ("cifar-18pct", (120, 130, 140)),
        ("cifar-13pct", (140, 150, 160)),
        ("cifar-11pct", (500, 510, 520)),
    ],
)
def test_a_recipe_for_cifar_divides_the_rates_when_its_source_did(name, epochs):
    """18pct's file, and Caffe's train_full.sh after it; the Methodology of 13pct; 11pct's file."""
    recipe = EXPERIMENTS[name]
    starts = [row.start for row in make_schedule(recipe, 50_000).rows]
    ends = [*starts[1:], last_step(recipe, 50_000)]
    assert [steps * 128 / 50_000 for steps in ends] == pytest.approx(epochs, abs=1 / 390)


@pytest.mark.parametrize(
    ("name", "progress", "conv1", "fc8"),
    [
        ("original", 0.5, (1e-3, 0.02), (1e-3, 0.02)),  # epoch 45 of 91
        ("original", 0.9, (0, 0), (1e-5, 0.02)),  # epoch 82
        ("cuda-convnet2", 0.3, (0.00159, 0.02), (0.00159, 0.02)),
        ("cuda-convnet2", 0.9, (0.00004, 0.002), (0.00004, 0.002)),
    ],
)
def test_the_learning_rates_of_a_run_are_those_of_its_source(name, progress, conv1, fc8):
    step = jnp.int32(round(progress * experiment_steps(name)))
    rates = experiment_schedule(name).rates(step, initial_plateau(), PARAMS)
    assert [float(rate) for rate in rates["conv1"]] == pytest.approx(conv1, rel=0.01)
    assert [float(rate) for rate in rates["fc8"]] == pytest.approx(fc8, rel=0.01)


@pytest.mark.parametrize(("epochs", "steps"), [(1e-9, 1), (0.02, 1), (0.5, 3), (1, 6)])
def test_a_run_takes_a_step_at_least(epochs, steps):
    assert last_step(Config().replace(epochs=epochs, batch_size=4).recipe, 24) == steps
