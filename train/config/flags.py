"""The command line of `train.main`, read into a Config."""

import argparse
import contextlib
import dataclasses
import io
import itertools
import re
import sys
from pathlib import Path

from .config import COMMAND, OF_THE_COMMAND, Config, flag, load
from .errors import BadInput
from .experiments import EXPERIMENTS

_MAY_CHANGE = {"data", "data_kind", "devices", "epochs", "save_steps", "steps"}
_MAY_CHANGE |= {"bad_images", "threads", "prefetch"}
"""What a resumed run may be told anew: where things are and how long it goes on, not what it is."""

_OF_SCHEDULES = {
    "cut_epochs": ("cuts",),
    "patience": ("plateau",),
    "bias_rate": ("cuts", "plateau"),
}
"""Flags that other schedules do not look at."""

_OF_NO_TYPE = re.compile(
    r"Error parsing (\S+): (?:no type matching|Could not find valid parse).*? \[(.*?)\].*"
)
"""Tyro's words for what fits none of several types, each of which it explains."""


def parse(argv: list[str] | None = None) -> Config:
    """Read a Config from flags. Raises BadInput; ends the program after --help."""
    argv = sys.argv[1:] if argv is None else argv
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--experiment", default="digits")
    first.add_argument("--run-dir", "--run_dir", type=Path)
    first.add_argument("--resume", action="store_true")
    try:
        known, _ = first.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise BadInput(f"{error.argument_name}: {error.message}") from None
    if known.experiment not in EXPERIMENTS:
        names = ", ".join(EXPERIMENTS)
        raise BadInput(f"--experiment must be one of {names}, not {known.experiment}")
    if not known.resume or known.run_dir is None:
        experiment = EXPERIMENTS[known.experiment]
        config = _command_line(argv, experiment)
        _check_beside(config, experiment)
        return config
    kept = load(known.run_dir)
    config = _command_line(argv, kept)
    for field in dataclasses.fields(Config):
        now, before = getattr(config, field.name), getattr(kept, field.name)
        if field.name not in _MAY_CHANGE | OF_THE_COMMAND and now != before:
            told = flag(field.name)
            raise BadInput(f"{known.run_dir} holds a run with {told} {before}, not {now}")
    if config.epochs != kept.epochs and kept.steps is not None and config.steps == kept.steps:
        raise BadInput(f"--epochs: the run goes by --steps {kept.steps}; change that instead")
    if config.epochs != kept.epochs and kept.schedule == "dexp":
        raise BadInput(
            f"--epochs: the schedule dexp divides {kept.epochs} of them; begin a new run"
        )
    return config


def _check_beside(config: Config, experiment: Config) -> None:
    """Refuse an experiment without data, and a flag that would change nothing."""
    if config.experiment != "digits" and config.data is None and not config.plan_images:
        raise BadInput(
            f"--experiment {config.experiment} needs --data; digits alone brings its own"
        )
    for name, schedules in _OF_SCHEDULES.items():
        told = getattr(config, name) != getattr(experiment, name)
        if told and config.schedule not in schedules:
            them = " and ".join(schedules)
            raise BadInput(f"{flag(name)} is of --schedule {them}, not of {config.schedule}")


def _command_line(argv: list[str], default: Config) -> Config:
    """Let tyro read the flags, and make one sentence of what it complains about."""
    import tyro

    text = f"{Config.__doc__} Experiments: {', '.join(EXPERIMENTS)}."
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(Config, prog=COMMAND, description=text, args=argv, default=default)
            return dataclasses.replace(config, init=config.init and config.init.resolve())
    except SystemExit as end:
        if not end.code:
            raise
        rows = [row.strip(" │") for row in said.getvalue().splitlines()[1:]]
        message = " ".join(itertools.takewhile(lambda row: "──" not in row, rows))
        hint = f"{COMMAND} --help lists the flags"
        message = message.removeprefix("Error parsing Config: ").strip(" .")
        message = _OF_NO_TYPE.sub(r"\1 cannot be \2", message)
        raise BadInput(f"{message or 'the flags cannot be read'}; {hint}") from None
