"""The journal of an incomplete folder of records, so that an interruption loses little."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ...config.errors import BadInput
from ..formats import manifest
from ..formats.manifest import Manifest, Shard


class Journal:
    """A line with the settings of the shards, then a line for each shard that is complete.

    A folder with a manifest is complete, and needs no journal.
    """

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        """Open the journal, or start one. Raises BadInput if shards have other settings."""
        self.shards: dict[str, Shard] = {}
        """The complete shards, by file name."""
        self.manifest: Manifest | None = None
        """The manifest of a complete folder."""
        self._path = directory / manifest.JOURNAL
        if (directory / manifest.NAME).exists():
            self.manifest = manifest.read(directory)
            _compare(directory, self.manifest.settings, settings)
            shards = (shard for split in self.manifest.shards.values() for shard in split)
            self.shards = {shard.file: shard for shard in shards}
            return
        old_settings, *lines = _read_lines(self._path) or [{}]
        for line in lines:
            with contextlib.suppress(TypeError, ValueError):  # a damaged line: made again
                shard = manifest.shard_from_json(line)
                self.shards[shard.file] = shard
        if self.shards:
            _compare(directory, old_settings, settings)
        else:  # other settings do not matter while there are no shards
            self._path.write_text(json.dumps(settings) + "\n")

    def add(self, shard: Shard) -> None:
        """Note that a shard is complete."""
        if self.shards.get(shard.file) == shard:
            return
        self.shards[shard.file] = shard
        with self._path.open("a") as file:
            file.write(f"\n{json.dumps(shard.to_json())}\n")  # the last line may be half-written
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Remove the journal, now that there is a manifest."""
        self._path.unlink(missing_ok=True)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the journal without half-written ones."""
    lines = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(line)
            lines += [values] if isinstance(values, dict) else []
    return lines


def _compare(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if (old_value := old.get(name, manifest.FORMER_SETTINGS.get(name))) == value:
            continue
        if name == "pictures":
            raise BadInput(f"{directory} was begun with other pictures; name another folder")
        raise BadInput(
            f"{directory} was begun with the {name.replace('_', ' ')} {old_value}, "
            f"not {value}; name another folder for these"
        )
