"""--help, --version and mistyped words of all commands, and the program that has all of them."""

import importlib.metadata
import re
import shlex
import sys
from pathlib import Path

import pytest

import alexnet_jax.__main__ as library
from alexnet_jax import architectures
from train import __main__ as program
from train import evaluate, features, fetch, predict, prepare, runs
from train.config.errors import BadInput
from train.config.flags import EXAMPLES as TRAIN_EXAMPLES
from train.config.flags import parse, read_flags
from train.figures import __main__ as figures
from train.findings import __main__ as findings

COMMANDS = {
    "evaluate": evaluate,
    "features": features,
    "fetch": fetch,
    "figures": figures,
    "findings": findings,
    "predict": predict,
    "prepare": prepare,
    "runs": runs,
}
EXAMPLES = [
    *TRAIN_EXAMPLES,
    *(line for name, module in COMMANDS.items() if name != "figures" for line in module.EXAMPLES),
    *(line for figure in figures.FIGURES.values() for line in figure.EXAMPLES),
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_a_help_are_commands(example):
    python, _, module, *arguments = shlex.split(example)
    name = module.removeprefix("train.")
    assert python == "python"
    if name == "main":
        read_flags(arguments)
    else:
        values = vars(COMMANDS[name]._parser().parse_args(arguments))
        assert "version" not in values  # prepare passes all of them on


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_empty_argument_is_refused_and_not_taken_for_the_current_folder(example):
    _, _, module, *arguments = shlex.split(example)
    name = module.removeprefix("train.")
    read = read_flags if name == "main" else COMMANDS[name]._parser().parse_args
    for i in [i for i, argument in enumerate(arguments) if not argument.startswith("--")]:
        with pytest.raises(BadInput, match="''"):
            read([*arguments[:i], "", *arguments[i + 1 :]])


@pytest.mark.parametrize(
    ("main", "arguments", "sentence"),
    [
        (evaluate.main, "run --crop 10", "there is no flag --crop; did you mean --crops? "),
        (
            evaluate.main,
            "run --part tests",
            "(choose from test, validation, training); did you mean test? ",
        ),
        (predict.main, "--figur x.png run cat.jpg", "no flag --figur; did you mean --figure? "),
        (figures.main, "kernal run x.png", "neighbours, saliency, gradcam, classes, confusion); "),
        (figures.main, "kernal run x.png", "did you mean kernels? python -m train.figures --help"),
        (figures.main, "curves run --metrics x", "no flag --metrics; python -m train.figures "),
        (fetch.main, "mnits DIR", "did you mean mnist? "),
        (read_flags, "--step 5", "there is no flag --step; did you mean --steps? "),
        (read_flags, "--run_dirs x", "there is no flag --run-dirs; did you mean --run-dir? "),
        (read_flags, "--experiment cafe", "no experiment named cafe; did you mean caffe?"),
        (read_flags, "--experiment lenet", "no experiment named lenet; there are digits, paper, "),
    ],
)
def test_the_nearest_of_the_names_is_suggested(main, arguments, sentence):
    with pytest.raises(BadInput) as caught:
        main(arguments.split())
    assert sentence in caught.value.with_flags()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("CAFE", "there is no net named 'CAFE'; did you mean CAFFE?"),
        ("PAPER --diagam x.png", "there is no flag --diagam; did you mean --diagram? python -m "),
        ("convrt a b", "there is no command convrt; did you mean convert?"),
        ("convert torchvison a.safetensors", "matconvnet-alexnet, toronto; did you mean torchvi"),
    ],
)
def test_the_library_suggests_the_nearest_name_too(arguments, sentence, capsys):
    assert library.main(arguments.split()) == 2
    assert sentence in capsys.readouterr().err


def test_names_are_taken_in_any_case():
    recipe = parse(["--experiment", "Paper", "--net", "cifar-11pct", "--data", "x"]).recipe
    assert (recipe.experiment, recipe.net) == ("paper", "CIFAR_11PCT")
    assert architectures.by_name("Scaled-8-113").name == "SCALED_8_113"


@pytest.mark.parametrize("main", [evaluate.main, read_flags, library.main, figures.main])
def test_every_command_prints_its_version(main, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    versions = [importlib.metadata.version(name) for name in ("alexnet_jax", "jax", "jaxlib")]
    assert re.findall(r"[a-z]+ ([\d.]+),", capsys.readouterr().out) == versions


def call(monkeypatch, capsys, *arguments):
    """Run the installed program in this process; return its exit status and what it printed."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")  # no second process
    monkeypatch.setattr(sys, "argv", ["/usr/bin/alexnet-jax", *arguments])
    try:
        program.main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_program_lists_every_command_and_no_argument_means_help(monkeypatch, capsys):
    status, listed, _ = call(monkeypatch, capsys)
    assert status == 0
    assert listed.startswith("usage: alexnet-jax COMMAND ...\n")
    files = Path(program.__file__).parent.glob("*.py")
    modules = {path.stem for path in files if "run_command(main" in path.read_text()}
    assert modules | {"figures", "findings"} == {module for module, _ in program.COMMANDS.values()}
    assert all(f"\n  {name} " in listed for name in program.COMMANDS)
    assert call(monkeypatch, capsys, "--help") == (0, listed, "")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # of this test alone
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["evaluate", "--help"], 0, "usage: alexnet-jax evaluate "),
        (["fetch", "--help"], 0, "\n  alexnet-jax fetch mnist DIR\n"),
        (["convert", "--help"], 0, "usage: alexnet-jax convert "),
        (["digits"], 0, "DIGITS, 2 towers\n"),
        (["runs", "--jsn"], 2, "did you mean --json? alexnet-jax runs --help explains"),
        (["train", "--step", "5"], 2, "did you mean --steps? alexnet-jax train --help explains"),
        (["trian"], 2, "there is no command or network named 'trian'; did you mean train?"),
        (["papr"], 2, "there is no command or network named 'papr'; did you mean PAPER?"),
        (["xyz"], 2, "named 'xyz'; alexnet-jax --help lists them"),
    ],
)
def test_the_program_runs_the_command_that_it_names(monkeypatch, capsys, arguments, status, words):
    ended, out, err = call(monkeypatch, capsys, *arguments)
    assert ended == status
    assert words in (err if status else out)
