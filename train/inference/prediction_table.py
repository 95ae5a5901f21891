"""Predictions as a table for other programs: CSV or JSON lines, by the ending of the file."""

import contextlib
import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from ..config.errors import BadInput

Write = Callable[[Mapping[str, Any]], object]
"""Writes one prediction: `path`, `truth`, and by rank `names`, `classes` and `probabilities`."""

_COLUMNS: list[str] = ["picture", "truth", "rank", "class", "label", "probability"]
_SUFFIXES = (".csv", ".jsonl")


def check_file(path: Path) -> None:
    """Raise BadInput if the file's name ends in neither .csv nor .jsonl."""
    if path.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"`out` {path} should end in {' or '.join(_SUFFIXES)}")


@contextlib.contextmanager
def open_table(path: Path) -> Iterator[Write]:
    """Yield a function that writes a prediction. The file is there once the block has ended.

    A .csv has a row for each class of a picture, with its rank from 1; a .jsonl has an object for
    each picture. A probability that is not a number is empty in a .csv, and null in a .jsonl.
    Raises BadInput if the file cannot be written.
    """
    from alexnet_jax.weights.files.atomic import replacing  # imports JAX: not for --help

    try:
        with (
            replacing(path) as temporary,
            # A file name that is not Unicode keeps its bytes.
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            yield _csv_writer(file) if path.suffix.lower() == ".csv" else _json_writer(file)
    except OSError as error:
        if os.fspath(path) != error.filename:
            raise
        raise BadInput(f"`out` {path} cannot be written: {error.strerror}") from None


def _csv_writer(file: TextIO) -> Write:
    rows = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    rows.writeheader()

    def write(prediction: Mapping[str, Any]) -> None:
        start = {"picture": prediction["path"], "truth": prediction["truth"]}
        rows.writerows(start | ranked for ranked in _by_rank(prediction))

    return write


def _json_writer(file: TextIO) -> Write:
    def write(prediction: Mapping[str, Any]) -> None:
        row = {"picture": str(prediction["path"]), "truth": prediction["truth"]}
        file.write(json.dumps(row | {"predictions": _by_rank(prediction)}) + "\n")

    return write


def _by_rank(prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = (prediction["names"], prediction["classes"], prediction["probabilities"])
    return [
        {
            "rank": rank,
            "class": name,
            "label": label,
            "probability": probability if math.isfinite(probability) else None,
        }
        for rank, (name, label, probability) in enumerate(zip(*columns, strict=True), 1)
    ]
