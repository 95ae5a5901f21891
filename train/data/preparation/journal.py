"""What has been done in a folder of records that is not complete, so that a stop loses little."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from ...config.errors import BadInput
from ..formats import manifest
from ..formats.manifest import Manifest, Shard


class Journal:
    """A line that says how shards are made, then one for each that is complete.

    A folder with a manifest is complete, and needs no journal: all its shards have been made.
    """

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        """Open or begin it. Raises BadInput if there are shards of other settings."""
        self.made: dict[str, Shard] = {}
        self.before: Manifest | None = None
        """What the folder's manifest says, if it is complete."""
        self._path = directory / manifest.JOURNAL
        if (directory / manifest.NAME).exists():
            self.before = whole = manifest.read(directory)
            _compare(directory, whole.settings, settings)
            self.made = {shard.file: shard for split in whole.shards.values() for shard in split}
            return
        begun, *lines = _whole_lines(self._path) or [{}]
        for line in lines:
            with contextlib.suppress(TypeError, ValueError):  # a damaged one: made again
                shard = manifest.shard_of(line)
                self.made[shard.file] = shard
        if self.made:
            _compare(directory, begun, settings)
        else:  # of what was begun otherwise, nothing is there
            self._path.write_text(json.dumps(settings) + "\n")

    def add(self, shard: Shard) -> None:
        """Note that a shard is complete."""
        if self.made.get(shard.file) == shard:
            return
        self.made[shard.file] = shard
        with self._path.open("a") as file:
            file.write(f"\n{json.dumps(dataclasses.asdict(shard))}\n")  # behind half a line, maybe
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Remove it: the manifest says all that it does."""
        self._path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of the journal; one that was being written when the process ended is left out."""
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(line)
            lines += [values] if isinstance(values, dict) else []
    return lines


def _compare(directory: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            if name == "pictures":
                raise BadInput(f"{directory} was begun with other pictures; name another folder")
            raise BadInput(
                f"{directory} was begun with the {name.replace('_', ' ')} {before.get(name)}, "
                f"not {value}; name another folder for these"
            )
