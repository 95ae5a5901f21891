"""What came of an evaluation: its figures as one value, printed as tables, or written as JSON."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from ..config.errors import BadInput
from ..steps.eval_step import EvalResults
from .predictor import Predictor

Row = dict[str, Any]


def figures(
    nets: Sequence[Predictor],
    outcomes: Sequence[Sequence[EvalResults]],
    *,
    per_class: bool = False,
    confusions: int = 0,
) -> dict[str, Any]:
    """Return all figures of an evaluation as plain values, errors as fractions.

    Args:
      nets: that were evaluated.
      outcomes: for each net, and then for their mean if there are several, those of the central
        patch, and then those of ten.
      per_class: whether to count each class apart.
      confusions: how many pairs of classes to name.

    Returns:
      `images`, how many there are; `errors`, a row for each net and number of patches; `classes`
      and `confusions`, of the mean of all nets and all patches. Behind a class's name stands the
      first of the words for it, where the data have some.
    """
    heads = [
        {"run": str(net.folder), "net": net.architecture.name, "step": net.step} for net in nets
    ]
    heads.append({"run": f"mean of {len(nets)}", "net": None, "step": None})
    rows = [
        head | {"patches": patches} | outcome.rates()
        for head, of_net in zip(heads, outcomes, strict=False)
        for patches, outcome in zip((1, 10), of_net, strict=False)
    ]
    last, names = outcomes[-1][-1], _names(nets[0])
    found: dict[str, Any] = {"images": len(last.labels), "errors": rows}
    if per_class:
        found["classes"] = by_class(last, names)
    if confusions:
        found["confusions"] = most_confused(last, names, confusions)
    return found


def _names(net: Predictor) -> list[str]:
    """As "n02119789 kit fox": nobody knows synsets by heart."""
    words = [net.words.get(name, "").split(",")[0] for name in net.class_names]
    return [f"{name} {called}".strip() for name, called in zip(net.class_names, words, strict=True)]


def by_class(outcomes: EvalResults, names: Sequence[str]) -> list[Row]:
    """Return for each class its images and their errors, None if there are no images."""
    rows = []
    for label, name in enumerate(names):
        of_class = np.asarray(outcomes.labels) == label
        row: Row = {"class": name, "images": int(of_class.sum())}
        for k, misses in ((1, outcomes.top1_misses), (5, outcomes.top5_misses)):
            row[f"top{k}_error"] = float(misses[of_class].mean()) if of_class.any() else None
        rows.append(row)
    return rows


def most_confused(outcomes: EvalResults, names: Sequence[str], most: int) -> list[Row]:
    """Return the pairs of a class and what its images were taken for, the most frequent first.

    `fraction` is of the images of the class. Pairs that are equally frequent keep the order of the
    classes.
    """
    labels, predictions = np.asarray(outcomes.labels), np.asarray(outcomes.predictions)
    wrong = np.stack([labels, predictions])[:, labels != predictions]
    pairs, counts = np.unique(wrong, axis=1, return_counts=True)
    rows = []
    for i in np.argsort(-counts, kind="stable")[:most]:
        label, guess = pairs[:, i]
        fraction = float(counts[i] / np.sum(labels == label))
        row = {"class": names[label], "taken_for": names[guess], "images": int(counts[i])}
        rows.append(row | {"fraction": fraction})
    return rows


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    # Where no terminal sets the width, lines stay whole, for other programs to read.
    width = None if sys.stdout.isatty() else 1000
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    errors = ("top1_error", "top5_error")
    console.print(_table(found["errors"], "run", "net", "step", "patches", *errors))
    last = found["errors"][-1]
    whose = f"{last['run']}, {last['patches']} patch{'es' * (last['patches'] > 1)}"
    console.print(f"{found['images']:,} test images")
    if "classes" in found:
        console.print(f"\nby class: {whose}")
        console.print(_table(found["classes"], "class", "images", *errors))
    if "confusions" in found:
        console.print(f"\nmost often confused: {whose}")
        columns = ("class", "taken_for", "images", "fraction")
        console.print(_table(found["confusions"], *columns))


def write(found: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON. Raises BadInput if that cannot be done."""
    try:
        path.write_text(json.dumps(found, indent=2) + "\n")
    except OSError as error:
        raise BadInput(f"--json {path} cannot be written: {error.strerror}") from None


_HEADS = {
    "top1_error": "top-1 error",
    "top5_error": "top-5 error",
    "taken_for": "taken for",
    "fraction": "of the class",
}


def _table(rows: Sequence[Row], *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        left = column in ("run", "net", "class", "taken_for")
        justify = "left" if left else "right"
        table.add_column(_HEADS.get(column, column), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    return table


def _text(value: str | int | float | None) -> str:
    """A name, a count, or a fraction as a percentage."""
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if isinstance(value, float) else str(value)
