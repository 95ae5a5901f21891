"""Lists of labels: one line for each picture."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...config.errors import BadInput


@dataclass(frozen=True)
class Row:
    """A line of a list of labels."""

    number: int  # of the line
    name: str | None  # of the picture; None if the order gives it
    label: str  # a synset or a number


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a list of labels, all of one form. Raises BadInput."""
    rows = []
    for number, line in number_lines(path):
        name, comma, rest = line.partition(",")
        columns = [name.strip(), *rest.split()] if comma else line.split()
        if comma and not rows and columns[0] == "ImageId":
            continue
        if comma and len(columns) < 2:
            raise BadInput(f"{path}, line {number} gives no label for {name}")
        named = len(columns) > 1
        rows.append(Row(number, columns[0] if named else None, columns[named]))
        if named != (rows[0].name is not None):
            raise BadInput(f"{path}, line {number} is of another form than the lines before it")
    if not rows:
        raise BadInput(f"{path} holds no labels")
    return rows


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text that are not blank. Raises BadInput."""
    return [line for _, line in number_lines(path)]


def number_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text that are not blank, with their numbers. Raises BadInput."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise BadInput(f"{path} cannot be read: {reason}") from None


def match_names(folder: str, pictures: list[str], labels: Path, rows: list[Row]) -> dict[str, Row]:
    """Return the row of each picture, found by its file name with or without the extension."""
    by_name: dict[str, Row] = {}
    for row in rows:
        assert row.name is not None
        if by_name.setdefault(row.name, row) is not row:
            raise BadInput(f"{labels}, line {row.number} names {row.name} for the second time")
    row_of = {}
    for picture in pictures:
        path = PurePosixPath(picture)
        row = by_name.get(path.name) or by_name.get(path.stem)
        if row is None:
            raise BadInput(f"{labels} does not label {path.name}, which {folder} holds")
        row_of[picture] = row
    return row_of
