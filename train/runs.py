"""Tables of runs and of their groups: `python -m train.runs [DIR]`."""

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config.errors import BadInput, list_some
from .runtime import output
from .runtime.cli import STANDARD_OUTPUT, json_file, make_parser, run_command

if TYPE_CHECKING:
    from .run_dir.group_summary import GroupSummary, SeedMean
    from .run_dir.run_summary import RunSummary

DESCRIPTION = """\
Print a line for each run in a folder: its network, data and seed, how far it has come, its top-1
errors, when it began, and about how long its training steps took. The training error is the mean
over the last epoch, with augmentation and dropout. Finished runs that differ in their seed alone
form a group. A second table has a line for each group: mean and standard deviation (n - 1) of the
validation and test errors over its seeds, the difference of its mean test error from that of the
first group on the same data, by name, and the two-sided p of Welch's t test: how often two
recipes that are equally good would differ at least as much by their seeds alone. It says nothing of
other test images, and is not corrected for the number of groups."""

EXAMPLES = ("python -m train.runs", "python -m train.runs FOLDER --json -")

_COLUMNS = ("run", "network", "data", "seed", "step", "epoch", "training", "validation", "test")
_COLUMNS += ("began", "took")
_GROUP_COLUMNS, _COMPARED = ("group", "seeds", "validation", "test"), ("difference", "from", "p")
_LEFT = ("run", "network", "data", "began", "group", "seeds", "from")
"""Columns of text, which begin at the left."""


def main(argv: list[str] | None = None) -> None:
    """Print the tables."""
    flags = _parser().parse_args(argv)
    if flags.json not in (None, STANDARD_OUTPUT):
        output.outlive_reader()
    if flags.json == STANDARD_OUTPUT:
        rows, groups, _ = _collect(flags.folder)
    else:
        rows, groups = print_tables(flags.folder)
    if flags.json is not None:
        from .inference import tables

        tables.write({"runs": rows, "groups": groups}, flags.json)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, default=Path("runs"), help="(%(default)s)"
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=json_file,
        help="write the figures here, errors as fractions; - prints them in place of the tables",
    )
    return parser


def print_tables(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Print the runs in a folder and, where there are several seeds, their groups. Returns both.

    Raises BadInput if the folder holds no runs.
    """
    rows, groups, left_out = _collect(folder)
    _show(rows, _COLUMNS)
    if any(len(group["seeds"]) > 1 for group in groups):
        compared = any(group["from"] for group in groups)
        _show(groups, _GROUP_COLUMNS + _COMPARED * compared)
        for why, names in left_out.items():
            if names:
                print(f"in no group, as they {why}: {list_some(names)}")
    return rows, groups


def _collect(
    folder: Path,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, list[str]]]:
    """Return the rows of both tables, and the names of runs in no group by the reason."""
    from .run_dir.group_summary import summarize_groups

    runs, faults = _read(folder)
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    rows = [_row(run, folder) for run in runs]
    groups = [_group_row(group, folder) for group in summarize_groups(runs)]
    others = [run for run in runs if not run.finished]
    left_out = {
        "have diverged": [_name(run.run_dir, folder) for run in others if run.diverged],
        "are not finished": [_name(run.run_dir, folder) for run in others if not run.diverged],
    }
    return rows, groups, left_out


def _read(folder: Path) -> tuple[list["RunSummary"], list[str]]:
    """Return the runs, and the faults for which others cannot be read."""
    from .config.network import get_architecture
    from .run_dir.run_summary import find_runs, summarize_run

    runs, faults = [], []
    for run_dir in find_runs(folder):
        try:
            run = summarize_run(run_dir)
            get_architecture(run.config)
        except BadInput as error:
            faults.append(error.shown())
        else:
            runs.append(run)
    return runs, faults


def _name(run_dir: Path, folder: Path) -> str:
    return str(run_dir.relative_to(folder)) if run_dir != folder else run_dir.name


def _row(run: "RunSummary", folder: Path) -> dict[str, Any]:
    return {
        "run": _name(run.run_dir, folder),
        "network": run.network,
        "data": run.data,
        "seed": run.config.recipe.seed,
        "step": run.step,
        "epoch": run.epoch,
        "training": run.train_error,
        "validation": run.val_error,
        "test": run.test_error,
        "began": run.began.isoformat(" ", "minutes"),
        "took": round(run.seconds),
    }


def _group_row(group: "GroupSummary", folder: Path) -> dict[str, Any]:
    compared = group.compared
    return {
        "group": group.label,
        "runs": [_name(run, folder) for run in group.runs],
        "seeds": list(group.seeds),
        "validation": _mean_and_std(group.val_error),
        "test": _mean_and_std(group.test_error),
        "difference": compared and compared.difference,
        "from": compared and compared.reference,
        "p": compared and compared.p_value,
    }


def _mean_and_std(error: "SeedMean | None") -> dict[str, float | None] | None:
    return error and {"mean": error.mean, "std": error.std}


def _show(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print the rows as a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # Without a terminal, rows are not folded, so that other programs can read them.
    width = None if sys.stdout.isatty() else 1000
    console = Console(
        file=output.raw(sys.stdout), width=width, markup=False, emoji=False, highlight=False
    )
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        justify = "left" if name in _LEFT else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_text(name, row[name]) for name in columns))
    console.print(table)


def _text(name: str, value: Any) -> str:
    """Return an error in percent, a time in hours, minutes and seconds, another value as it is."""
    from alexnet_jax.printable import printable

    if value is None:
        return ""
    match name:
        case "training" | "validation" | "test":
            return _percent(value)
        case "difference":
            return f"{100 * value:+.2f} points"
        case "p":
            return f"{value:.3f}" if value >= 0.001 else "< 0.001"
        case "took":
            return str(datetime.timedelta(seconds=value))
        case "epoch":
            return f"{value:.1f}"
        case "step":
            return f"{value:,}"
        case "seeds":
            return " ".join(map(str, value))
    return printable(str(value))


def _percent(error: float | dict[str, float | None]) -> str:
    """Return an error, or the mean and deviation of several."""
    if not isinstance(error, dict):
        return f"{100 * error:.2f} %"
    mean, std = error["mean"], error["std"]
    assert mean is not None
    return f"{100 * mean:.2f} %" if std is None else f"{100 * mean:.2f} ± {100 * std:.2f} %"


if __name__ == "__main__":
    run_command(main)
