"""The command line of `train.main`: one flag for each field of the configuration."""

import argparse
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from .config import COMMAND, FIELDS, Config, DataConfig, Launch
from .errors import BadInput, flag
from .experiments import EXPERIMENTS, find_experiment
from .parser import Parser
from .recipe import Recipe
from .resumed import check_resumed, check_same, shown
from .saved import FORMER_NAMES, load_config, read_record, resolve_unless_name

_SCHEDULES_OF = {
    "cut_epochs": ("cuts",),
    "patience": ("plateau",),
    "bias_rate": ("cuts", "plateau", "cosine"),
}
"""Flags that only some schedules use."""

_OWNERS = {"recipe": Recipe, "data": DataConfig, "launch": Launch}


EXAMPLES = (
    "python -m train.main --devices 2",
    "python -m train.main --data DIR",
    "python -m train.main --experiment paper --data DIR --devices 2 --plan",
    "python -m train.main --data DIR --net TORCHVISION --init torchvision --freeze conv1,conv2",
    "python -m train.main --run-dir runs/NAME --resume",
)


def parse(argv: list[str] | None = None) -> Config:
    """Read a configuration from flags. Raises BadInput; ends the process after --help."""
    return make_config(read_flags(argv))


def read_flags(argv: list[str] | None = None) -> dict[str, Any]:
    """Return the values of the flags that were given, and no others.

    Raises BadInput; ends the process after --help.
    """
    argv = sys.argv[1:] if argv is None else argv
    given = vars(_parser().parse_args([_with_dashes(argument) for argument in argv]))
    if "experiment" in given:
        given["experiment"] = find_experiment(given["experiment"]).experiment
    if given.get("init"):
        given["init"] = resolve_unless_name(given["init"])
    if ":" in given.get("net", "") or given.get("net", "").endswith(".py"):
        from .network import read_net  # takes JAX

        given["net"] = read_net(given["net"])
    return given


def names_no_experiment(given: dict[str, Any]) -> bool:
    """Return whether the flags leave it to the data which experiment they start from."""
    starts = given.get("data") and not given.get("resume")
    return bool(starts) and not {"experiment", "net", "like"} & given.keys()


def make_config(given: dict[str, Any], experiment: str = "digits") -> Config:
    """Return the configuration for `read_flags`. Raises BadInput.

    Args:
      given: the values of the flags that were given.
      experiment: the one to start from, if they name none.
    """
    if "like" in given:
        config, recipe = _make_like(given)
        _check_new(config, recipe)
    elif given.get("resume") and given.get("run_dir"):
        saved = load_config(given["run_dir"])
        config = _replace(saved, given)
        check_resumed(config, saved)
    else:
        recipe = EXPERIMENTS[given.get("experiment", experiment)]
        config = _replace(Config(recipe), given)
        _check_new(config, recipe)
    return config


def check_begun_by(flags: Sequence[str], saved: Config) -> None:
    """Refuse a run that begins with other flags than these, also with more.

    `parse` with --resume takes what the flags leave out from the run; this does not.

    Args:
      flags: which would begin it, without --run-dir and --resume.
      saved: its configuration.

    Raises BadInput.
    """
    given = read_flags([*flags, "--run-dir", str(saved.launch.run_dir)])
    by_data = (saved.recipe.experiment,) if names_no_experiment(given) else ()
    check_same(make_config(given, *by_data), saved)


def _make_like(given: dict[str, Any]) -> tuple[Config, Recipe]:
    """Return the configuration of a new run like another one, and the recipe of that one."""
    run_dir, changes = given["like"], {**given}
    del changes["like"]
    if changes.get("resume"):
        raise BadInput("--like begins a new run, and --resume continues one; drop one of them")
    if "experiment" in changes:
        raise BadInput("--like takes the recipe of a run, and --experiment another; drop one")
    try:
        saved, classes = load_config(run_dir), read_record(run_dir)["data"]["class_names"]
    except BadInput as error:
        raise BadInput(f"--like {error}") from None
    if saved.data.path is None and "data" not in changes and classes != [*"0123456789"]:
        raise BadInput(f"--like {run_dir}: its data were given in Python; --data names others")
    if "epochs" in changes:
        changes.setdefault("steps", None)  # a run with `steps` would not look at them
    return _replace(Config(saved.recipe, saved.data), changes), saved.recipe


def _parser() -> Parser:
    """Return the parser; what it parses holds the flags that were given, and no others."""
    names = f"Experiments: {', '.join(EXPERIMENTS)}."
    about = f"Train a network by the paper's recipe (section 5) and report its test error. {names}"
    parser = Parser(
        prog=COMMAND,
        usage="%(prog)s [FLAGS]",
        description=about,
        examples=EXAMPLES,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--like",
        metavar="RUN",
        type=_converter(Path),
        help="begin a new run with the recipe and the data of the run in this folder; other flags "
        "change them; --devices and the others under launch are not taken from there",
    )
    former = {new: old for old, new in FORMER_NAMES.items()}
    for title, owner in _OWNERS.items():
        group = parser.add_argument_group(title)
        for name, field in FIELDS.items():
            if field.name in owner.__dataclass_fields__:
                reading = _reading(field.type)
                default = shown(field.default)
                text = f"{field.metadata['help']} (default: {default})".replace("%", "%%")
                group.add_argument(flag(name), dest=name, help=text, **reading)
                if name in former:
                    hidden = {"dest": name, "help": argparse.SUPPRESS}
                    group.add_argument(flag(former[name]), **hidden, **reading)
    _add_seeds(parser)
    return parser


def _add_seeds(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("several runs")
    group.add_argument(
        "--seeds",
        type=_converter(int),
        nargs="+",
        metavar="N",
        help="Train a run for each of these seeds, one after the other, in the folders seed-N of "
        "--run-dir, and print the tables of train.runs. After a stop the same command continues, "
        "and skips what is finished. What a run prints is in seed-N.log beside its folder.",
    )


def without_seeds(argv: Sequence[str]) -> list[str]:
    """Return the flags without `--seeds`, `--run-dir` and `--like`, which are not for each run."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_seeds(parser)
    parser.add_argument("--run-dir")
    parser.add_argument("--like")
    return parser.parse_known_args([_with_dashes(argument) for argument in argv])[1]


def _reading(annotation: Any) -> dict[str, Any]:
    """Return argparse's options to read values of a type, as a field of Config declares it."""
    if annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(annotation) is tuple:
        [kind, _] = typing.get_args(annotation)
        return {"nargs": "*", "action": _Tuple, "type": _converter(kind), "metavar": _metavar(kind)}
    if typing.get_origin(annotation) is Literal:
        return {"choices": typing.get_args(annotation)}
    if isinstance(annotation, types.UnionType):
        [kind] = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
        return {"type": _optional(_converter(kind)), "metavar": _metavar(kind)}
    return {"type": _converter(annotation), "metavar": _metavar(annotation)}


class _Tuple(argparse.Action):
    """Keeps the values of a flag as a tuple, which is what the configuration holds."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Store the values."""
        setattr(namespace, self.dest, tuple(values))


_KINDS: dict[type, tuple[str, str]] = {
    int: ("N", "a whole number"),
    float: ("X", "a number"),
    str: ("TEXT", "text"),
    Path: ("PATH", "a path"),
}
"""By type: what --help calls a value, and what a message does."""


def _metavar(kind: type) -> str:
    return _KINDS[kind][0]


def _converter(kind: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            if kind is Path and not text:  # of a variable that is not set; Path("") is "."
                raise ValueError
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {_KINDS[kind][1]}") from None

    return convert


def _optional(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a converter that also takes the word None, which an experiment's value may need."""
    return lambda text: None if text == "None" else convert(text)


def _with_dashes(argument: str) -> str:
    """Return a flag with dashes for underscores, which other command lines take: --run_dir."""
    name, equals, value = argument.partition("=")
    return re.sub("_", "-", name) + equals + value if name.startswith("--") else argument


def _replace(config: Config, given: dict[str, Any]) -> Config:
    try:
        return config.replace(**given)
    except BadInput as error:
        raise BadInput(f"{error.with_flags()}; {COMMAND} --help lists the flags") from None


def _check_new(config: Config, recipe: Recipe) -> None:
    """Refuse an experiment without its data, and a flag that would change nothing."""
    name, launch = config.recipe.experiment, config.launch
    if name != "digits" and config.data.path is None and not launch.plan_images:
        raise BadInput(f"--experiment {name} needs --data; digits alone brings its own")
    for name, schedules in _SCHEDULES_OF.items():
        changed = getattr(config.recipe, name) != getattr(recipe, name)
        if changed and config.recipe.schedule not in schedules:
            users = " and ".join(schedules)
            raise BadInput(f"{flag(name)} is for --schedule {users}, not {config.recipe.schedule}")
