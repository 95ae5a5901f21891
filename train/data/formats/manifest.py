"""What a folder of records holds: its `manifest.json`."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config.errors import BadInput
from ..image_statistics import COLORS, MEAN

NAME = "manifest.json"
JOURNAL = "unfinished.jsonl"
"""The file that stands for the manifest until all shards are complete."""
SPLITS = ("train", "test")
_KIND = "ArrayRecord shards of JPEG pictures, by python -m train.prepare, version 1"


@dataclass(frozen=True)
class Shard:
    """A file of records."""

    file: str
    pictures: int
    bytes: int
    sha256: str
    odd: dict[str, list[str]]  # by picture, in a few words; these were converted
    left_out: dict[str, str]  # by picture, why

    def fits(self, directory: Path) -> bool:
        """Whether the file is there with these bytes; all of it is read."""
        path = directory / self.file
        try:
            return path.stat().st_size == self.bytes and sha256(path) == self.sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Measured:
    """The files that hold the mean image and the principal colors of the training pictures."""

    pictures: int
    channel_mean: tuple[float, ...]  # of red, green and blue, from 0 to 255
    shards: str  # a digest of those that they are taken from
    files: dict[str, str]  # the SHA-256 of each

    def fits(self, directory: Path) -> bool:
        """Whether the files are there with these bytes."""
        try:
            return all(sha256(directory / name) == digest for name, digest in self.files.items())
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Manifest:
    """What a folder of records holds."""

    settings: dict[str, Any]
    classes: tuple[str, ...]
    by_class: dict[str, tuple[int, ...]]  # pictures of each class in "train" and "test"
    shards: dict[str, tuple[Shard, ...]]
    statistics: Measured | None = None
    """Of folders that were made before there were any, None."""
    words: dict[str, str] = field(default_factory=dict)
    """What the classes are called, where a list of that was given; not all need be there."""

    @property
    def size(self) -> int:
        """The pictures' pixels square."""
        return self.settings["size"]

    def write(self, directory: Path) -> None:
        """Write manifest.json, whole or not at all."""
        values = {"kind": _KIND, **dataclasses.asdict(self)}
        values["oddities"] = count_odd(shard for split in self.shards.values() for shard in split)
        half_written = directory / f"{NAME}.tmp"
        half_written.write_text(json.dumps(values, indent=1) + "\n")
        os.replace(half_written, directory / NAME)


def is_there(directory: Path) -> bool:
    """Whether the folder holds records, complete or not; others too call a file manifest.json."""
    if (directory / JOURNAL).exists():
        return True
    try:
        values = json.loads((directory / NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, RecursionError):
        return True  # a damaged one, which `read` refuses
    return isinstance(values, dict) and "kind" in values and "shards" in values


def read(directory: Path) -> Manifest:
    """Read manifest.json. Raises BadInput if it is missing, damaged or of another version."""
    path = directory / NAME
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(
            f"{directory} holds no {NAME}, which train.prepare writes when all shards are complete"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    try:
        if values["kind"] != _KIND:
            raise BadInput(f"{path} says {values['kind']!r}, and this reads {_KIND!r}")
        whole = Manifest(
            dict(values["settings"]),
            tuple(values["classes"]),
            {split: tuple(values["by_class"][split]) for split in SPLITS},
            {split: tuple(map(shard_of, values["shards"][split])) for split in SPLITS},
            _measured(values.get("statistics")),
            {**values.get("words", {})},
        )
        if _is_sound(whole):
            return whole
    except BadInput:
        raise
    except (KeyError, TypeError, ValueError):
        pass
    raise BadInput(f"{path} is damaged: it lacks what a manifest of records says")


def _measured(values: dict[str, Any] | None) -> Measured | None:
    if values is None:
        return None
    changed = {"channel_mean": tuple(values["channel_mean"]), "files": {**values["files"]}}
    return Measured(**{**values, **changed})


def _is_sound(whole: Manifest) -> bool:
    """What readers rely on. Raises KeyError or TypeError if something is not there or no number."""
    pictures = {split: [shard.pictures for shard in whole.shards[split]] for split in SPLITS}
    return (
        whole.size > 0
        and all(isinstance(name, str) for name in whole.classes)
        and all(len(whole.by_class[split]) == len(whole.classes) for split in SPLITS)
        and all(sum(whole.by_class[split]) == sum(pictures[split]) > 0 for split in SPLITS)
        and all(isinstance(words, str) for words in whole.words.values())
        and (whole.statistics is None or set(whole.statistics.files) == {MEAN, COLORS})
    )


def shard_of(values: Any) -> Shard:
    """Return the shard that a manifest or journal tells of.

    Raises TypeError or ValueError if it is none, or its file would lie in another folder.
    """
    shard = Shard(**values)
    match shard:
        case Shard(str(), int(), int(), str(), {}, {}) if min(shard.pictures, shard.bytes) >= 0:
            if shard.file not in ("", ".", "..") and not {"/", "\\", "\0"} & {*shard.file}:
                return shard
    raise ValueError(f"{values} is no shard")


def count_odd(shards: Iterable[Shard]) -> dict[str, int]:
    """Return the number of pictures of each oddity, the most frequent first."""
    counts: dict[str, int] = {}
    for shard in shards:
        for oddity in (word for words in shard.odd.values() for word in words):
            counts[oddity] = counts.get(oddity, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
