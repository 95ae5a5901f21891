"""What a finding says: a sentence, a table and a figure, as files beside its runs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Report:
    """The result of a finding."""

    sentence: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    draw: Callable[[Path], Path]
    """Draws the figure into a file."""

    def table(self) -> str:
        """Return the table in Markdown."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

    def write(self, folder: Path, command: str) -> None:
        """Write report.md, report.json and figure.png into a folder.

        Args:
          folder: of the finding.
          command: that made the report: it names data and seeds.
        """
        from alexnet_jax.weights.files.atomic import write_atomically

        folder.mkdir(parents=True, exist_ok=True)
        values = {"command": command, "sentence": self.sentence}
        values |= {"columns": self.columns, "rows": self.rows}
        write_atomically(folder / "report.json", json.dumps(values, indent=2) + "\n")
        write_atomically(
            folder / "report.md", f"`{command}`\n\n{self.sentence}\n\n{self.table()}\n"
        )
        self.draw(folder / "figure.png")
