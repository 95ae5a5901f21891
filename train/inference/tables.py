"""The results of an evaluation as plain values, printed as tables or written as JSON."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from alexnet_jax.printable import printable
from alexnet_jax.weights.files.atomic import write_atomically

from ..config.errors import BadInput
from ..runtime import output
from ..runtime.cli import STANDARD_OUTPUT
from ..steps.eval_step import EvalResults
from .predictor import Predictor

Row = dict[str, Any]


def summarize(
    predictors: Sequence[Predictor],
    results: Sequence[Sequence[EvalResults]],
    *,
    part: str = "test",
    per_class: bool = False,
    confusions: int = 0,
) -> dict[str, Any]:
    """Return the results of an evaluation as plain values, errors as fractions.

    Args:
      predictors: of the networks that were evaluated.
      results: as `evaluate` returns them.
      part: whose images they are of, "test", "validation" or "training".
      per_class: whether to list the errors of each class.
      confusions: the number of confused pairs of classes to list.

    Returns:
      `part`; `images`, their number; `errors`, a row for each network and number of crops
      ("patches"); `classes` and `confusions`, of the average over all networks and crops. A class
      is named with the first word of its description, if it has one.
    """
    heads = [
        {"run": predictor.source, "net": predictor.architecture.name, "step": predictor.step}
        for predictor in predictors
    ]
    heads.append({"run": f"mean of {len(predictors)}", "net": None, "step": None})
    rows = [
        head | {"patches": crops} | result.rates()
        for head, views in zip(heads, results, strict=False)
        for crops, result in zip((1, 10), views, strict=False)
    ]
    last, names = results[-1][-1], _names(predictors[0])
    summary: dict[str, Any] = {"part": part, "images": len(last.labels), "errors": rows}
    if per_class:
        summary["classes"] = by_class(last, names)
    if confusions:
        summary["confusions"] = most_confused(last, names, confusions)
    return summary


def _names(predictor: Predictor) -> list[str]:
    """Return names as "n02119789 kit fox", because nobody knows synsets by heart."""
    descriptions = predictor.class_descriptions
    words = [descriptions.get(name, "").split(",")[0] for name in predictor.class_names]
    return [
        f"{name} {word}".strip() for name, word in zip(predictor.class_names, words, strict=True)
    ]


def by_class(results: EvalResults, names: Sequence[str]) -> list[Row]:
    """Return the number of images and the errors of each class; None where there are no images."""
    rows = []
    for label, name in enumerate(names):
        in_class = np.asarray(results.labels) == label
        row: Row = {"class": name, "images": int(in_class.sum())}
        for k, misses in ((1, results.top1_misses), (5, results.top5_misses)):
            row[f"top{k}_error"] = float(misses[in_class].mean()) if in_class.any() else None
        rows.append(row)
    return rows


def most_confused(results: EvalResults, names: Sequence[str], count: int) -> list[Row]:
    """Return the `count` most frequent pairs of a class and the class it was taken for.

    `fraction` is relative to the images of the class. Equally frequent pairs keep the order of the
    classes.
    """
    labels, predictions = np.asarray(results.labels), np.asarray(results.predictions)
    wrong = np.stack([labels, predictions])[:, labels != predictions]
    pairs, counts = np.unique(wrong, axis=1, return_counts=True)
    rows = []
    for i in np.argsort(-counts, kind="stable")[:count]:
        label, prediction = pairs[:, i]
        fraction = float(counts[i] / np.sum(labels == label))
        row = {"class": names[label], "taken_for": names[prediction], "images": int(counts[i])}
        rows.append(row | {"fraction": fraction})
    return rows


def show(summary: dict[str, Any]) -> None:
    """Print the summary as tables."""
    # Without a terminal, rows are not folded, so that other programs can read them.
    width = None if sys.stdout.isatty() else 1000
    console = Console(
        file=output.raw(sys.stdout), width=width, markup=False, emoji=False, highlight=False
    )
    errors = ("top1_error", "top5_error")
    console.print(_table(summary["errors"], "run", "net", "step", "patches", *errors))
    last = summary["errors"][-1]
    source = f"{last['run']}, {last['patches']} crop{'s' * (last['patches'] > 1)}"
    console.print(f"{summary['images']:,} {summary.get('part', 'test')} images")
    if "classes" in summary:
        console.print(f"\nby class: {source}")
        console.print(_table(summary["classes"], "class", "images", *errors))
    if "confusions" in summary:
        console.print(f"\nmost often confused: {source}")
        columns = ("class", "taken_for", "images", "fraction")
        console.print(_table(summary["confusions"], *columns))


def write(summary: dict[str, Any], path: Path) -> None:
    """Write the summary as JSON into a file, or print it for `cli.STANDARD_OUTPUT`.

    Raises BadInput if the file cannot be written.
    """
    text = json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n"
    if path == STANDARD_OUTPUT:
        print(text, end="")
        return
    is_device = path.exists() and not path.is_file()  # as /dev/stdout, which must not be replaced
    try:
        path.write_text(text) if is_device else write_atomically(path, text)
    except OSError as error:
        raise BadInput(f"`json` {path} cannot be written: {error.strerror}") from None


def _finite(value: Any) -> Any:
    """Return a value of JSON with null for numbers that JSON does not have."""
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


_TITLES = {
    "patches": "crops",
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
        table.add_column(_TITLES.get(column, column), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    return table


def _text(value: str | int | float | None) -> str:
    """Return a fraction as a percentage; a name or a count as it is."""
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if isinstance(value, float) else printable(str(value))
