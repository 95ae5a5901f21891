"""The contents of a folder of records: its `manifest.json`.

docs/imagenet.md lists the keys of this file. `to_json` and the readers below map them to fields.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config.errors import BadInput
from ..image_statistics import COLORS, MEAN

NAME = "manifest.json"
JOURNAL = "unfinished.jsonl"
"""The file that takes the manifest's place until all shards are complete."""
SPLITS = ("train", "test")
VAL = "val"
"""The validation part, which only some folders have."""
CROP = "after resizing, as torchvision does"
"""The setting "crop" of records whose shorter side was resized."""
FORMER_SETTINGS = {"crop": "before resizing", "encoding": "jpeg"}
"""What records without these settings were made with, until November 2026."""
KINDS = {
    encoding: f"ArrayRecord shards of {pictures}, by python -m train.prepare, version 1"
    for encoding, pictures in {"jpeg": "JPEG pictures", "raw": "raw pixels"}.items()
}
"""What the manifest calls a folder by the encoding of its pictures: a version of this program that
does not know the encoding refuses the folder by this name."""


@dataclass(frozen=True)
class Shard:
    """A file of records."""

    file: str
    picture_count: int
    byte_count: int
    sha256: str
    conversions: dict[str, list[str]]  # of each picture that was converted, what for
    skipped: dict[str, str]  # of each picture that was left out, why

    def matches(self, directory: Path) -> bool:
        """Return whether the file exists with these bytes. Reads all of it."""
        path = directory / self.file
        try:
            return path.stat().st_size == self.byte_count and sha256(path) == self.sha256
        except FileNotFoundError:
            return False

    def to_json(self) -> dict[str, Any]:
        """Return the values under the keys of manifest.json."""
        return {
            "file": self.file,
            "pictures": self.picture_count,
            "bytes": self.byte_count,
            "sha256": self.sha256,
            "odd": self.conversions,
            "left_out": self.skipped,
        }


@dataclass(frozen=True)
class StatisticsFiles:
    """The files with the mean image and the PCA of the training pictures' colors."""

    picture_count: int
    channel_mean: tuple[float, ...]  # of red, green and blue, from 0 to 255
    shards_digest: str  # of the shards that the statistics were measured on
    files: dict[str, str]  # the SHA-256 of each

    def matches(self, directory: Path) -> bool:
        """Return whether the files exist with these bytes."""
        try:
            return all(sha256(directory / name) == digest for name, digest in self.files.items())
        except FileNotFoundError:
            return False

    def to_json(self) -> dict[str, Any]:
        """Return the values under the keys of manifest.json."""
        return {
            "pictures": self.picture_count,
            "channel_mean": self.channel_mean,
            "shards": self.shards_digest,
            "files": self.files,
        }


@dataclass(frozen=True)
class Manifest:
    """The contents of a folder of records."""

    settings: dict[str, Any]
    class_names: tuple[str, ...]
    class_counts: dict[str, tuple[int, ...]]  # pictures of each class, by split
    shards: dict[str, tuple[Shard, ...]]
    statistics: StatisticsFiles | None = None
    """None in the folders of early versions, which did not measure them."""
    class_descriptions: dict[str, str] = field(default_factory=dict)
    """Readable descriptions of classes, if a list of them was given; it need not have all."""
    labels_digest: str | None = None
    """The SHA-256 of the list of names and labels; None in folders of early versions, without."""
    only_val: bool = False
    """Whether the test pictures are the only held-out ones and lay in a folder called val."""

    @property
    def size(self) -> int:
        """The height and width of the pictures, in pixels."""
        return self.settings["size"]

    @property
    def encoding(self) -> str:
        """How the records hold pictures: "jpeg" or "raw"."""
        return self.settings.get("encoding", "jpeg")

    @property
    def resize(self) -> str:
        """The name, in `RULES`, of the rule that resized the pictures."""
        if self.settings.get("resize") == "squash":
            return "squash"
        return "crop" if self.settings.get("crop") == CROP else "central-square"

    def write(self, directory: Path) -> None:
        """Write manifest.json, whole or not at all."""
        from alexnet_jax.weights.files.atomic import write_atomically  # JAX; workers do without

        values = {
            "kind": KINDS[self.encoding],
            "settings": self.settings,
            "classes": self.class_names,
            "by_class": self.class_counts,
            "shards": {name: [s.to_json() for s in shards] for name, shards in self.shards.items()},
            "statistics": self.statistics and self.statistics.to_json(),
            "words": self.class_descriptions,
            "oddities": count_conversions(s for shards in self.shards.values() for s in shards),
        }
        if self.labels_digest is not None:
            values["labels"] = self.labels_digest
        if self.only_val:
            values["only_val"] = True
        write_atomically(directory / NAME, f"{json.dumps(values, indent=1)}\n")


def exists(directory: Path) -> bool:
    """Return whether a folder holds records, complete or not. A foreign manifest.json is none."""
    if (directory / JOURNAL).exists():
        return True
    if not (directory / NAME).is_file():
        return False
    try:
        values = json.loads((directory / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return True  # a damaged one, which `read` rejects
    return isinstance(values, dict) and "kind" in values and "shards" in values


def read(directory: Path) -> Manifest:
    """Read manifest.json. Raises BadInput if it is missing, damaged or of another version."""
    path = directory / NAME
    if not path.is_file():
        raise BadInput(
            f"{directory} holds no {NAME}, which train.prepare writes when all shards are complete"
        )
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    try:
        kind = values["kind"]
        if kind not in KINDS.values():
            known = " or ".join(map(repr, KINDS.values()))
            raise BadInput(f"{path} is of the kind {kind!r}, not {known}")
        optional = {"statistics": None, "words": {}, "labels": None, "only_val": False}
        values = _check(optional | values, _MANIFEST_KEYS)
        statistics = values["statistics"]
        splits = [*SPLITS, *({VAL} & {*values["shards"]})]
        manifest = Manifest(
            settings=values["settings"],
            class_names=values["classes"],
            class_counts={split: values["by_class"][split] for split in splits},
            shards={
                split: tuple(map(shard_from_json, values["shards"][split])) for split in splits
            },
            statistics=None if statistics is None else _statistics_from_json(statistics),
            class_descriptions=values["words"],
            labels_digest=values["labels"],
            only_val=values["only_val"],
        )
        if _is_consistent(manifest) and kind == KINDS[manifest.encoding]:
            return manifest
    except BadInput:
        raise
    except (KeyError, TypeError, ValueError):
        pass
    raise BadInput(f"{path} is damaged: its values are missing or do not fit together")


def shard_from_json(values: Any) -> Shard:
    """Return the shard that a manifest or journal describes.

    Raises ValueError if it is none, or its file would lie in another folder.
    """
    shard = Shard(*_check(values, _SHARD_KEYS).values())
    if values.keys() != _SHARD_KEYS.keys() or min(shard.picture_count, shard.byte_count) < 0:
        raise ValueError(f"{values} is not a shard")
    if shard.file in ("", ".", "..") or {"/", "\\", "\0"} & {*shard.file}:
        raise ValueError(f"{shard.file!r} is not the name of a file in the folder")
    return shard


def _statistics_from_json(values: Any) -> StatisticsFiles:
    return StatisticsFiles(*_check(values, _STATISTICS_KEYS).values())


# The keys of manifest.json and the types of their values, in the order of the fields above.
_MANIFEST_KEYS = {
    "settings": dict[str, Any],
    "classes": tuple[str, ...],
    "by_class": dict[str, tuple[int, ...]],
    "shards": dict[str, list[Any]],
    "statistics": Any,
    "words": dict[str, str],
    "labels": str | None,
    "only_val": bool,
}
_SHARD_KEYS = {
    "file": str,
    "pictures": int,
    "bytes": int,
    "sha256": str,
    "odd": dict[str, list[str]],
    "left_out": dict[str, str],
}
_STATISTICS_KEYS = {
    "pictures": int,
    "channel_mean": tuple[float, ...],
    "shards": str,
    "files": dict[str, str],
}


def _check(values: Any, annotations: dict[str, Any]) -> dict[str, Any]:
    """Return the values under these keys. Raises ValueError if one is missing or mistyped."""
    from alexnet_jax.weights.spec_json import check_value  # imports JAX; workers do without

    if not isinstance(values, dict) or not annotations.keys() <= values.keys():
        raise ValueError(f"it needs the keys {', '.join(annotations)}")
    return {key: check_value(values[key], kind, key) for key, kind in annotations.items()}


def _is_consistent(manifest: Manifest) -> bool:
    """Check what readers rely on. Raises KeyError or TypeError if a value is missing or wrong."""
    counts = {
        split: [shard.picture_count for shard in shards]
        for split, shards in manifest.shards.items()
    }
    return (
        type(manifest.size) is int
        and manifest.size > 0
        and all(len(manifest.class_counts[s]) == len(manifest.class_names) for s in counts)
        and all(sum(manifest.class_counts[s]) == sum(counts[s]) > 0 for s in counts)
        and (manifest.statistics is None or set(manifest.statistics.files) == {MEAN, COLORS})
    )


def count_conversions(shards: Iterable[Shard]) -> dict[str, int]:
    """Return the number of pictures with each kind of conversion, the most frequent first."""
    counts: dict[str, int] = {}
    for shard in shards:
        for kind in itertools.chain.from_iterable(shard.conversions.values()):
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits.

    The library's `file_digest` does the same, but importing it loads JAX; the worker processes of
    train.prepare do without.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
