"""A user's own networks by FILE.py:NAME and module:NAME; layer types that files of weights name."""

import json
import re
import sys
from pathlib import Path

import pytest

from alexnet_jax import architectures
from alexnet_jax.__main__ import main
from alexnet_jax.layer_specs import Conv, Flatten, Output
from alexnet_jax.user_code import class_name, find_architecture, find_class
from alexnet_jax.weights.spec_json import architecture_from_json, to_json
from tests.support.own_layers import PRelu

MINE = """\
from dataclasses import dataclass

from alexnet_jax import Architecture
from alexnet_jax.layer_specs import *


@dataclass(frozen=True)
class Double(LayerSpec):
    def apply(self, params, x):
        return 2 * x


LAYERS = (Conv("conv1", 4, 3), Double(), Flatten(), Output("fc2", 10))
MINE = Architecture("MINE", 9, 2, LAYERS)
NUMBER = 3


def make():
    return MINE


def make_wider(maps):
    return MINE
"""


@pytest.fixture(autouse=True)
def forget_modules():
    """Modules that a test imports are gone after it."""
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        if not str(getattr(sys.modules[name], "__file__", "/")).startswith(sys.prefix):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a file and a package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "lab" / "nets").mkdir(parents=True)
    (tmp_path / "lab" / "nets" / "small.py").write_text("from .beside import MINE\n")
    (tmp_path / "lab" / "nets" / "beside.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["mine.py:MINE", "./mine.py:make", "{}/mine.py:MINE", "mine:make", "lab.nets.small:MINE"],
)
def test_a_net_is_found_in_a_file_and_in_a_module(folder, text, capsys):
    path = list(sys.path)
    text = text.format(folder)
    assert find_architecture(text).name == "MINE"
    assert main([text]) == 0
    assert "double1" in capsys.readouterr().out
    assert sys.path == path


def test_a_file_imports_what_lies_beside_it_and_runs_once(folder, tmp_path_factory, monkeypatch):
    (folder / "uses.py").write_text("print('run')\nfrom mine import *\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    first = find_architecture(f"{folder}/uses.py:MINE")
    assert find_architecture(f"{folder}/uses.py:make") is first


def test_a_file_that_has_changed_is_run_again(folder):
    first = find_architecture("mine.py:MINE")
    assert find_architecture("mine.py:MINE") is first
    (folder / "mine.py").write_text(MINE.replace('"conv1", 4', '"conv1", 8'))
    assert find_architecture("mine.py:MINE").layers[0].maps == 8


def test_a_file_called_like_another_module_leaves_that_module_alone(folder):
    import random

    (folder / "random.py").write_text(MINE)
    net = find_architecture("random.py:MINE")
    assert sys.modules["random"] is random
    sentence = (
        "Double is in random.py, and Python imports another module by the name random: rename"
    )
    with pytest.raises(ValueError, match=sentence):
        to_json(net)


def test_names_of_the_library_are_found_as_before():
    assert find_architecture("PAPER") is architectures.PAPER
    assert find_architecture("SCALED_8_113") == architectures.scaled(8, 113)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mine.py", "mine.py should name a network in the file, as mine.py:NAME"),
        ("mine.py:", "mine.py: should name a network in the file, as mine.py:NAME"),
        ("mine.py:a-b", "mine.py:a-b should name a network in the file, as mine.py:NAME"),
        ("mine.py:OURS", "mine.py has no OURS, its networks are MINE"),
        ("none.py:MINE", "none.py cannot be read: No such file or directory"),
        ("lab.py:MINE", "lab.py cannot be read: Is a directory"),
        ("none:MINE", "there is no module none in {} or on Python's path"),
        ("lab.none:MINE", "there is no module lab.none in {} or on Python's path"),
        (
            "mine.py:NUMBER",
            "mine.py: NUMBER is no Architecture, nor a function that returns one, but int",
        ),
        (
            "mine.py:Double",
            "mine.py: Double is no Architecture, nor a function that returns one, but the class "
            "Double",
        ),
        (
            "mine.py:make_wider",
            "mine.py, make_wider(): TypeError: make_wider() missing 1 required positional ",
        ),
        ("syntax.py:MINE", "{}/syntax.py, line 2: SyntaxError: '(' was never closed"),
        ("fails.py:MINE", "{}/fails.py, line 4: TypeError: can only concatenate str"),
        ("wrong.py:MINE", "{}/wrong.py, line 4: MINE: conv1 needs at least 99 pixels, and only 9"),
        ("wrong:MINE", "{}/wrong.py, line 4: MINE: conv1 needs at least 99 pixels, and only 9"),
        ("script.py:MINE", "{}/script.py, line 3: SystemExit: 3"),
        ("needs.py:MINE", "{}/needs.py, line 1: ModuleNotFoundError: No module named 'not_there'"),
        ("binary.py:MINE", "binary.py: SyntaxError: source code string cannot contain null bytes"),
        ("LENET", "there is no net named 'LENET'; python -m alexnet_jax --help lists them"),
        ("mine.MINE", "there is no net named 'mine.MINE'; "),
        ("SCALED_8_9", "SCALED_8_9: pool1 needs at least 3 pixels, and only 1 are left\n"),
    ],
)
def test_a_net_that_cannot_be_had_is_refused_in_one_sentence(folder, text, sentence, capsys):
    (folder / "lab.py").mkdir()
    (folder / "syntax.py").write_text("x = 1\ny = (\n")
    (folder / "fails.py").write_text("def f():\n    return 1\n\nMINE = 'a' + f()\n")
    wrong = [Conv("conv1", 4, 99), Flatten(), Output("fc2", 3)]
    imports = "\n".join(MINE.splitlines()[2:4])
    (folder / "wrong.py").write_text(f"{imports}\n\nMINE = Architecture('MINE', 9, 1, {wrong})\n")
    (folder / "script.py").write_text("import sys\n\nsys.exit(3)\n")
    (folder / "needs.py").write_text("import not_there\n")
    (folder / "binary.py").write_bytes(b"\x00\xff\x00")
    assert main([text]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.count("\n") == 1
    assert sentence.format(folder) in printed.err
    assert not {"syntax", "fails", "wrong", "script", "needs", "binary"} & {*sys.modules}


def test_a_layer_type_is_found_by_its_module_and_class(folder):
    assert find_class(class_name(PRelu)) is PRelu
    assert find_class("mine:Double").__name__ == "Double"
    assert find_class("lab.nets.beside:Double").__module__ == "lab.nets.beside"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "none:Double",
            "its layer type none:Double cannot be imported: there is no module none in",
        ),
        ("mine:Other", "its layer type mine:Other is not there: .*mine.py defines no class Other"),
        ("mine:MINE", "its layer type mine:MINE is not there: .*mine.py defines no class MINE"),
        ("touches:Double", "its layer type touches:Double is not there: .*defines no class Double"),
        (
            "lab.touches:Double",
            "its layer type lab.touches:Double is not there: .* no class Double",
        ),
        ("other:Double", "its layer type other:Double is not there: Double is no LayerSpec"),
        ("os:system", "its layer type os:system is not there: system is no LayerSpec"),
        ("../mine:Double", "cannot be imported: there is no module ../mine in"),
        (
            "__main__:Mine",
            "its layer type __main__:Mine is not there: a notebook or a script defined",
        ),
    ],
)
def test_a_file_of_weights_imports_no_module_but_that_of_its_layer_type(folder, name, sentence):
    touch = "import pathlib\npathlib.Path('touched').touch()\nDouble = 3\n"
    (folder / "touches.py").write_text(touch)
    (folder / "lab" / "__init__.py").write_text(touch)
    (folder / "lab" / "touches.py").write_text(touch)
    (folder / "other.py").write_text("class Double: pass\n")
    data = json.loads(json.dumps(to_json(find_architecture("mine.py:MINE"))))
    data["layers"][1]["word"] = name
    del sys.modules["mine"]
    with pytest.raises(ValueError, match=sentence):
        architecture_from_json(data)
    assert not Path("touched").exists()


def test_a_net_is_the_same_after_json(folder):
    net = find_architecture("mine.py:MINE")
    assert architecture_from_json(json.loads(json.dumps(to_json(net)))) == net
    assert re.fullmatch("mine:Double", to_json(net)["layers"][1]["word"])
