"""A user's own network by the command: its run keeps the layers and needs the file no more."""

import json
import re
import sys

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import Architecture, Preprocessing
from alexnet_jax.layer_specs import Flatten, LocallyConnected, Output
from tests.support.runs import write_initial_run
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.config.network import get_architecture, read_net
from train.config.saved import load_config
from train.figures.kernels import draw_kernels
from train.inference.predictor import open_predictor
from train.run_dir.metrics import read_metrics
from train.trainer.build import load_network_and_data
from train.trainer.fine_tuning import read_initial_weights
from train.trainer.train import train

MINE = """\
from dataclasses import dataclass

from alexnet_jax import Architecture
from alexnet_jax.layer_specs import *


@dataclass(frozen=True)
class Double(LayerSpec):
    def apply(self, params, x):
        return 2 * x


LAYERS = (Conv("conv1", 4, 3, stride=4, std=1e-3), MeanPool(), Flatten(), Output("fc2", 10))
DIGITS = Architecture("DIGITS", 24, 2, LAYERS)
DOUBLED = Architecture("DOUBLED", 24, 2, (LAYERS[0], Double(), *LAYERS[1:]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a net whose name is one of the library's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("mine", None)


def forget(folder, text=None):
    """Start anew, as another process does, with another text of the file or without it."""
    sys.modules.pop("mine", None)
    (folder / "mine.py").unlink()
    if text:
        (folder / "mine.py").write_text(text)


FLAGS = ["--run-dir", "run", "--batch-size", "16"]


def test_a_run_keeps_the_layers_and_needs_the_file_no_more(folder):
    train(parse([*FLAGS, "--net", "mine.py:DIGITS", "--devices", "2", "--steps", "2"]))
    net = read_net("mine.py:DIGITS")
    kept = json.loads((folder / "run" / "config.json").read_text())["config"]["net"]
    assert [layer["word"] for layer in kept["layers"]] == ["Conv", "MeanPool", "Flatten", "Output"]
    assert parse([*FLAGS, "--resume", "--net", "mine:DIGITS"]).recipe.net == net
    with pytest.raises(BadInput, match="run holds a run with --net DIGITS, not DOUBLED"):
        parse([*FLAGS, "--resume", "--net", "mine.py:DOUBLED"])
    with pytest.raises(BadInput, match="run holds a run with --net DIGITS of other layers"):
        parse([*FLAGS, "--resume", "--net", "DIGITS"])
    forget(folder)
    train(parse([*FLAGS, "--resume", "--steps", "3"]))
    assert [row["step"] for row in read_metrics(folder / "run") if "loss" in row] == [1, 2, 3]
    predictor = open_predictor(folder / "run")
    params, loaded, _ = alexnet_jax.load("run")
    assert predictor.architecture == loaded == net
    jax.tree.map(np.testing.assert_array_equal, params, predictor.params)
    config = Config().replace(net=net, init=folder / "run")
    initial = read_initial_weights(config, load_network_and_data(config)[0])
    assert initial.architecture == net


def test_a_run_whose_layer_type_cannot_be_imported_says_so(folder):
    write_initial_run(folder / "run", net=read_net("mine.py:DOUBLED"))
    forget(folder)
    sentence = f"its layer type mine:Double cannot be imported: there is no module mine in {folder}"
    for read in (load_config, open_predictor):
        with pytest.raises(BadInput, match=re.escape(f"run/config.json: {sentence}")):
            read(folder / "run")
    with pytest.raises(ValueError, match=re.escape(f"run: {sentence}")):
        alexnet_jax.load("run")
    (folder / "mine.py").write_text(MINE.replace("class Double", "class Twice"))
    with pytest.raises(BadInput, match=r"mine.py defines no class Double"):
        load_config(folder / "run")
    forget(folder, MINE)
    assert load_config(folder / "run").recipe.net.name == "DOUBLED"


def test_a_net_of_the_library_that_a_file_imports_is_kept_by_its_name(folder):
    (folder / "mine.py").write_text("from alexnet_jax.architectures import PAPER as MINE\n")
    assert parse(["--net", "mine.py:MINE"]).recipe.net == "PAPER"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--net", "none.py:MINE"], "--net: none.py cannot be read: No such file or directory"),
        (["--net", "mine.py:OURS"], "--net: mine.py has no OURS, its networks are DIGITS, DOUBLED"),
        (["--net", "mine.py"], "--net: mine.py should name a network in the file, as mine.py:NAME"),
    ],
)
def test_a_wrong_net_is_named_in_one_sentence(folder, flags, sentence):
    with pytest.raises(BadInput) as caught:
        parse(flags)
    assert caught.value.with_flags() == sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "return x[0]",
            "--net: DOUBLED: double1: apply returned [6, 6, 2], and by its output_shape ",
        ),
        ("return x + undefined", "--net: {}/mine.py, line 10: NameError: name 'undefined' is not"),
        ("return params.weights * x", "--net: {}/mine.py, line 10: AttributeError: 'NoneType' "),
    ],
)
def test_a_layer_type_that_does_not_run_is_named_before_the_run(folder, body, sentence):
    (folder / "mine.py").write_text(MINE.replace("return 2 * x", body))
    config = parse(["--net", "mine.py:DOUBLED"])
    with pytest.raises(BadInput) as caught:
        load_network_and_data(config)
    assert sentence.format(folder) in caught.value.with_flags()


def test_a_net_may_begin_with_another_layer_than_a_convolution(folder):
    layers = [LocallyConnected("local1", 4, 5, stride=4), Flatten(), Output("fc2", 10)]
    net = Architecture("LOCAL", 24, 1, layers)
    run = write_initial_run(folder / "run", net=net)
    params, *_ = alexnet_jax.load(run)
    config = Config().replace(net=net, init=run)
    initial = read_initial_weights(config, net)
    jax.tree.map(np.testing.assert_array_equal, initial.params, params)
    with pytest.raises(BadInput, match="LOCAL does not begin with a convolution of the image"):
        draw_kernels(open_predictor(run), folder / "kernels.png")
    scaled = Preprocessing(stored_size=24, input_size=24, mean=[0.5] * 3, scale=1 / 255)
    alexnet_jax.save("scaled", params, net, scaled)
    with pytest.raises(BadInput, match="which local1, no convolution, cannot include"):
        read_initial_weights(config.replace(init=folder / "scaled"), net)


def test_python_gives_the_architecture_itself():
    net = alexnet_jax.architectures.scaled(4, 67)
    assert get_architecture(Config().replace(net=net)) is net
    with pytest.raises(BadInput, match="in Python, give the Architecture itself"):
        get_architecture(Config().replace(net="mine.py:MINE"))
    with pytest.raises(BadInput, match="`net`: `architecture` must be an Architecture or the name"):
        get_architecture(Config().replace(net=3))
