"""A table of runs, one in a line: `python -m train.runs [DIR]`."""

import datetime
import sys
from pathlib import Path
from typing import Any

from .config.errors import BadInput
from .runtime import output
from .runtime.cli import make_parser, new_file, run_command

DESCRIPTION = """\
Print a line for each run in a folder: its network, data and seed, how far it has come, its top-1
errors, when it began, and about how long its training steps took. The training error is the mean
over the last epoch, with augmentation and dropout."""

_COLUMNS = ("run", "network", "data", "seed", "step", "epoch", "training", "validation", "test")
_COLUMNS += ("began", "took")


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    parser = make_parser(__spec__.name, DESCRIPTION)
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, default=Path("runs"), help="(%(default)s)"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=new_file, help="write the figures here, errors as fractions"
    )
    flags = parser.parse_args(argv)
    if flags.json is not None:
        output.outlive_reader()
    from .run_dir.run_summary import find_runs

    rows = [_row(run, flags.folder) for run in find_runs(flags.folder)]
    readable = [row for row in rows if "fault" not in row]
    _show(readable)
    for row in rows:
        if "fault" in row:
            print(f"left out: {row['fault']}", file=sys.stderr)
    if flags.json is not None:
        from .inference import tables

        tables.write({"runs": readable}, flags.json)


def _row(run_dir: Path, folder: Path) -> dict[str, Any]:
    """Return the values of a run, or the fault for which it cannot be read."""
    from .run_dir.run_summary import summarize_run

    try:
        run = summarize_run(run_dir)
    except BadInput as error:
        return {"fault": error.shown()}
    return {
        "run": str(run_dir.relative_to(folder)) if run_dir != folder else run_dir.name,
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


def _show(rows: list[dict[str, Any]]) -> None:
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
    for name in _COLUMNS:
        left = name in ("run", "network", "data", "began")
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(name, row[name]) for name in _COLUMNS))
    console.print(table)


def _text(name: str, value: Any) -> str:
    """Return an error in percent, a time in hours, minutes and seconds, another value as it is."""
    from alexnet_jax.printable import printable

    if value is None:
        return ""
    match name:
        case "training" | "validation" | "test":
            return f"{100 * value:.2f} %"
        case "took":
            return str(datetime.timedelta(seconds=value))
        case "epoch":
            return f"{value:.1f}"
        case "step":
            return f"{value:,}"
    return printable(str(value))


if __name__ == "__main__":
    run_command(main)
