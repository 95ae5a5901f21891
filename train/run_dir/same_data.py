"""Compares the data with what config.json records of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, TextIO

from ..config.config import Config
from ..config.errors import BadInput
from ..config.saved import load_config, read_record
from ..data.examples import DataSet
from ..data.validation import VALIDATION_PARTS


def check_data(
    run_dir: Path,
    data: DataSet,
    parts: Collection[str] = ("train", "test"),
    notes: TextIO | None = None,
) -> None:
    """Raise BadInput unless the data have the run's classes. Notes what else is different.

    Args:
      run_dir: of the run.
      data: as they are now.
      parts: whose numbers of images are compared.
      notes: where the notes are printed; None for standard output.
    """
    for note in compare_data(run_dir, data, parts):
        print(f"note: {note}", file=notes)


def compare_data(run_dir: Path, data: DataSet, parts: Collection[str]) -> list[str]:
    """Return a sentence for each difference between the data and the record of a run.

    Raises BadInput for classes of other names.
    """
    before, now = read_record(run_dir)["data"], data.record()
    if before["class_names"] != now["class_names"]:
        raise BadInput(f"{run_dir} holds a run on other data, whose classes have other names")
    sentences = []
    old, new = (_counts(record, parts) for record in (before, now))
    if old != new:  # a damaged picture may have been removed
        sentences.append(f"{run_dir} began with {old}; there are {new} now")
    if data.random_split and before.get("drawn_test", data.drawn_test) != data.drawn_test:
        sentences.append(
            f"the seed of {run_dir} draws other test images than at its beginning, as names of "
            "pictures have changed; it may have learned from some of them"
        )
    return sentences


def check_validation(config: Config, data: DataSet) -> None:
    """Raise BadInput unless a resumed run validates on the images that it began with."""
    run_dir, recipe = config.launch.run_dir, config.recipe
    assert run_dir is not None
    if not (run_dir / "config.json").exists():
        return
    saved = load_config(run_dir).recipe
    part = read_record(run_dir)["data"].get("validation", "none")
    for name in ("validation", "validation_from"):
        before, now = getattr(saved, name), getattr(recipe, name)
        if before != now:
            raise BadInput(f"{run_dir} holds a run with `{name}` {before}, not {now}")
    if part != data.validation:
        raise BadInput(
            f"{run_dir} holds a run that validates on {VALIDATION_PARTS.get(part, part)}; with the "
            f"data as they are now, it would validate on {VALIDATION_PARTS[data.validation]}"
        )


def _counts(record: dict[str, Any], parts: Collection[str]) -> str:
    names = {"train": "training", "test": "test"}
    return " and ".join(f"{record.get(part)} {names[part]}" for part in parts) + " images"
