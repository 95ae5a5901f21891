"""Runs with `init` and `freeze`: which layers are loaded, which stay fixed, what is refused."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from alexnet_jax.architectures import DIGITS
from alexnet_jax.weights.files.checksums import file_digest
from alexnet_jax.weights.known_files import PRETRAINED, KnownFile, Pretrained
from tests.support.tiny import SMALL, TINY, draw_params
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.config.saved import load_config
from train.inference.predictor import open_predictor
from train.steps.optimizers import OPTIMIZERS
from train.steps.schedules import NET_145, Schedule, constant, initial_plateau
from train.steps.train_step import TrainState, make_train_step
from train.trainer.fine_tuning import describe, read_initial_weights
from train.trainer.train import train

CONFIG = Config().replace(net=SMALL, stored_size=28)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run of five steps on the digits of the package."""
    run_dir = tmp_path_factory.mktemp("learned") / "run"
    train(CONFIG.replace(run_dir=run_dir, steps=5, batch_size=50))
    return run_dir


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise pictures of three classes, a color channel darkened in each."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 2)):
        for number, name in enumerate("abc"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (28, 28, 3), np.uint8)
                pixels[..., number] //= 2
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def assert_equal(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_begins_with_the_learned_layers_and_a_new_head_for_its_classes(
    learned, pictures, tmp_path
):
    """Read after one step whose learning rate is too small to change a bit."""
    run_dir = tmp_path / "run"
    still = {"learning_rate": 1e-30, "steps": 1, "batch_size": 4, "seed": 3}
    train(CONFIG.replace(run_dir=run_dir, data=pictures, init=learned, classes=3, **still))
    before, after = open_predictor(learned).params, open_predictor(run_dir).params
    init_key, _ = jax.random.split(jax.random.key(3))
    new_head = alexnet_jax.init(init_key, SMALL.with_classes(3))["fc4"]
    for name in before:
        np.testing.assert_array_equal(
            after[name].weights, new_head.weights if name == "fc4" else before[name].weights
        )
    means = [open_predictor(folder).preprocessing.mean for folder in (run_dir, learned)]
    np.testing.assert_array_equal(*means)


def test_with_the_same_number_of_classes_the_head_is_loaded_too(learned, tmp_path):
    train(CONFIG.replace(run_dir=tmp_path / "run", init=learned, learning_rate=1e-30, steps=1))
    pairs = (jax.tree.leaves(open_predictor(run).params) for run in (tmp_path / "run", learned))
    for after, before in zip(*pairs, strict=True):  # a bias of 0 moved by 1e-30 times its gradient
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-28)


@pytest.mark.parametrize(
    ("known", "names", "kept", "words"),
    [
        ("abc", "abc", True, None),
        ("abc", "acb", False, "fc8 drawn anew, as its 3 classes were others: a, b, c"),
        ("abc", "xyz", False, "fc8 drawn anew, as its 3 classes were others: a, b, c"),
        ("", "abc", True, "fc8 kept, whose 3 classes have no names there"),
        (["n01440764", "n01443537", "n1"], ["tench", "goldfish", "n1"], True, None),
    ],
)
def test_an_output_layer_of_other_classes_of_the_same_number_is_drawn_anew(
    tmp_path, known, names, kept, words
):
    net, path = DIGITS.with_classes(3), tmp_path / "net.safetensors"
    preprocessing = alexnet_jax.Preprocessing(stored_size=28, input_size=24, mean=[9, 9, 9])
    alexnet_jax.save(path, draw_params(net), net, preprocessing, tuple(known))
    config = Config().replace(init=path)
    initial = read_initial_weights(config, net, tuple(names))
    assert initial.keeps_output == kept
    expected = "; ".join(filter(None, [f"starts from {path}", words]))
    assert describe(config, net, initial) == expected


def test_weights_learned_on_scaled_colors_keep_their_logits_in_a_run(pictures, tmp_path, rng):
    net, params = SMALL.with_classes(3), draw_params(SMALL.with_classes(3))
    params["conv1"] = params["conv1"]._replace(weights=40 * params["conv1"].weights)
    preprocessing = alexnet_jax.Preprocessing(
        stored_size=28,
        input_size=8,
        mean=[0.5, 0.4, 0.3],
        scale=1 / 255,
        std=(0.2, 0.25, 0.3),
    )
    path, run_dir = tmp_path / "net.safetensors", tmp_path / "run"
    alexnet_jax.save(path, params, net, preprocessing)
    config = CONFIG.replace(run_dir=run_dir, data=pictures, init=path, learning_rate=1e-30, steps=1)
    with pytest.raises(
        BadInput, match=r"on pixels of another scale.*; `freeze` conv1 continues it"
    ):
        train(config)
    train(config.replace(freeze="conv1", batch_size=4))
    images = rng.integers(0, 256, (5, 28, 28, 3), np.uint8)
    expected = alexnet_jax.apply(params, preprocessing(images), architecture=net)
    logits = open_predictor(run_dir).eval_step()(images)[:, 0]
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_frozen_layers_stay_and_a_resumed_run_is_the_straight_one(learned, pictures, tmp_path):
    flags = {"data": pictures, "init": learned, "freeze": "conv1, conv2", "batch_size": 4}
    config = CONFIG.replace(run_dir=tmp_path / "straight", steps=6, **flags)
    train(config)
    train(config.replace(run_dir=tmp_path / "stopped", steps=3))
    again = parse(["--run-dir", str(tmp_path / "stopped"), "--resume", "--steps", "6"])
    assert (again.recipe.init, again.recipe.freeze) == (learned.resolve(), "conv1, conv2")
    moved = learned.rename(learned.with_name("gone"))  # a resumed run no longer needs its `init`
    try:
        train(again)
    finally:
        moved.rename(learned)
    straight, stopped = (open_predictor(tmp_path / name, 6) for name in ("straight", "stopped"))
    assert_equal(straight.params, stopped.params)
    before = open_predictor(learned).params
    for name in before:
        if name != "fc4":
            same = np.array_equal(straight.params[name].weights, before[name].weights)
            assert same == (name in ("conv1", "conv2"))


@pytest.mark.parametrize("optimizer_name", ["sgd", "adam"])
def test_a_frozen_layer_has_no_gradient_and_leaves_the_others_as_they_were(optimizer_name, rng):
    optimizer, params = OPTIMIZERS[optimizer_name](), draw_params(TINY)
    batch = {
        "image": jnp.asarray(rng.integers(0, 256, (4, 14, 14, 3)), jnp.uint8),
        "label": jnp.array([0, 1, 2, 3]),
    } | dict.fromkeys(("index", "epoch", "place"), jnp.arange(4))
    mean, mesh = jnp.full((14, 14, 3), 128.0), alexnet_jax.make_mesh(1)
    after, operations = {}, {}
    for frozen in ((), ("conv1", "conv2", "conv3", "fc7")):
        step = make_train_step(
            TINY,
            optimizer,
            mean,
            schedule=replace(constant(0.01), frozen=frozen),
            key=jax.random.key(0),
            flip=False,
            mesh=mesh,
        )
        copies = jax.tree.map(jnp.array, params)
        state = TrainState(jnp.int32(0), copies, optimizer.init(copies), initial_plateau())
        with jax.numpy_dtype_promotion("standard"):  # Optax's Adam is not strict
            compiled = step.lower(state, batch).compile()
        operations[frozen] = compiled.cost_analysis()["flops"]
        after[frozen] = jax.device_get(compiled(state, batch)[0].params)
    free_params, frozen_params = after.values()
    for name in TINY_LAYERS:
        expected = params if name in ("conv1", "conv2", "conv3", "fc7") else free_params
        np.testing.assert_allclose(
            frozen_params[name].weights, expected[name].weights, rtol=1e-5, atol=1e-6
        )
        if expected is params:
            assert_equal(frozen_params[name], params[name])
    unfrozen, reduced = operations.values()
    products = {info.name: info.multiply_accumulates for info in TINY.layer_info()}
    # Freezing saves a layer's kernel gradient; below the lowest trained layer, the maps' too.
    saved = 2 * 4 * (sum(products[n] for n in ("conv1", "conv2", "conv3", "fc7")))
    assert unfrozen - reduced > 0.8 * saved


TINY_LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc6", "fc7", "fc8")


def test_freezing_outlasts_a_schedule_that_names_the_layer():
    """Net 145 lowers the learning rate of conv1 at epoch 67."""
    params = draw_params(TINY)
    free, frozen = (
        Schedule(NET_145, frozen=names).rates(jnp.int32(70), initial_plateau(), params)
        for names in ((), ("conv1",))
    )
    assert free["conv1"].weights == jnp.float32(1e-5)
    assert frozen["conv1"] == (0, 0)
    assert frozen["conv2"] == free["conv2"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze": "conv9"}, "`freeze`: DIGITS has no layer 'conv9', but conv1, conv2, "),
        ({"freeze": "relu1"}, "`freeze`: DIGITS has no layer 'relu1'"),
        (
            {"freeze": "conv1,conv2,conv3,conv4,conv5,fc6,fc7,fc8"},
            "`freeze` names every layer, so that nothing is left to learn",
        ),
        ({"classes": 4}, "`classes` 4: the data in "),
        ({"init": "nowhere"}, "`init` nowhere does not exist"),
        ({"init": "pictures"}, "it holds no run, for there is no config.json in it"),
        (
            {"init": "digits", "net": "SCALED_8_113"},
            "holds a network DIGITS, whose layers are not those of `net` SCALED_8_113; "
            "`net` DIGITS",
        ),
    ],
)
def test_an_invalid_beginning_is_refused_and_leaves_no_folder(pictures, tmp_path, changes, words):
    folders = {"digits": tmp_path / "d", "pictures": pictures, "nowhere": tmp_path / "nowhere"}
    preprocessing = alexnet_jax.Preprocessing(stored_size=28, input_size=24, mean=[9, 9, 9])
    alexnet_jax.save(folders["digits"], draw_params(DIGITS), DIGITS, preprocessing)
    if "init" in changes:
        words = words.replace("nowhere", str(folders["nowhere"]))
        changes = changes | {"init": folders[changes["init"]]}
    with pytest.raises(BadInput) as caught:
        train(Config().replace(run_dir=tmp_path / "run", data=pictures, **changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_starts_from_published_weights_by_their_name(pictures, tmp_path, monkeypatch):
    net, params = SMALL.with_classes(1000), draw_params(SMALL.with_classes(1000))
    preprocessing = alexnet_jax.Preprocessing(stored_size=28, input_size=8, mean=[100, 110, 120])
    alexnet_jax.save(tmp_path / "net", params, net, preprocessing)
    published = KnownFile("our own", "net", "md5", file_digest(tmp_path / "net", "md5"))
    monkeypatch.setitem(PRETRAINED, "caffe", Pretrained(("caffe",), published))
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    flags = ["--init", "caffe", "--data", str(pictures), "--run-dir", "run", "--steps", "1"]
    train(parse([*flags, "--batch-size", "4", "--freeze", "conv1"]).replace(net=SMALL))
    after = open_predictor("run")
    np.testing.assert_array_equal(after.params["conv1"].weights, params["conv1"].weights)
    np.testing.assert_allclose(after.preprocessing.mean[3, 4], [100, 110, 120])
    assert load_config(Path("run")).recipe.init == Path("caffe")
    assert parse(["--run-dir", "run", "--resume", "--init", "caffe"]).recipe.init == Path("caffe")


def test_resume_cannot_change_init_or_freeze(learned, pictures, tmp_path):
    run_dir = tmp_path / "run"
    train(CONFIG.replace(run_dir=run_dir, data=pictures, init=learned, steps=1, batch_size=4))
    assert load_config(run_dir).recipe.init == learned.resolve()
    resume = ["--run-dir", str(run_dir), "--resume"]
    with pytest.raises(BadInput, match="holds a run with --freeze None, not conv1"):
        parse([*resume, "--freeze", "conv1"])
    with pytest.raises(BadInput, match="holds a run with --init"):
        parse([*resume, "--init", "other"])
