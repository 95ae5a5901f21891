"""Pictures to shards: which there are, in which order, and what has been made of them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...config.errors import BadInput, Ended
from ...runtime import lock
from ...runtime.progress import PictureProgress
from ..formats import imagenet, manifest
from ..formats.image_folder import PictureFile, Pictures, draw, find_pictures
from ..formats.manifest import Manifest, Measured, Shard
from ..image_statistics import COLORS, MEAN, write_statistics
from .journal import Journal
from .measure import measure
from .shards import QUALITY, Task, make_shards


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the flags say."""

    source: Path
    out: Path
    labels: Path | None = None
    synsets: Path | None = None
    class_order: str = "sorted"
    held_out: float = 0.1
    size: int = 256
    resize: str = "crop"
    seed: int = 0
    shard_size: int = 2048
    processes: int = 1
    strict: bool = False


def prepare(options: Options) -> Manifest:
    """Make the shards and the manifest in `options.out`, and return the latter.

    The shards follow from the pictures and the options, but not from the number of processes.
    Raises BadInput if a flag, SRC or OUT is not as it should be, Ended after Ctrl-C.
    """
    _check_folders(options.source, options.out)
    found = _find(options)
    try:
        with lock.held(options.out, ".lock", "written"):
            return _write(options, found)
    except KeyboardInterrupt:
        raise Ended("stopped; the same command goes on from here", 130) from None
    except OSError as error:  # the journal's or the manifest's
        raise BadInput(f"{options.out} cannot be written: {error.strerror}") from None


def _write(options: Options, found: Pictures) -> Manifest:
    settings = _settings(options, found)
    log = Journal(options.out, settings)
    files = _files_of(found, options)
    _make(options, found, files, log)
    shards = {split: tuple(log.made[name] for name in files[split]) for split in files}
    by_class = {
        "train": _count(found, found.train, shards["train"]),
        "test": _count(found, found.test, shards["test"]),
    }
    whole = Manifest(
        settings,
        found.class_names,
        by_class,
        shards,
        _measure(options, shards["train"], log.before),
        _words(options, found.class_names, log.before),
    )
    whole.write(options.out)
    log.close()
    for half_written in options.out.glob("*.array_record.*"):  # of processes that were killed
        half_written.unlink()
    return whole


def _check_folders(source: Path, out: Path) -> None:
    """Refuse what cannot be read or written, and to mix shards with somebody's files."""
    if not source.is_dir():
        raise BadInput(f"{source} is not a folder")
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise BadInput(f"{out} lies in {source}; the shards need a folder elsewhere")
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise BadInput(f"{out} cannot be made a folder: {error.strerror}") from None
    if names and not names & {manifest.NAME, manifest.JOURNAL}:
        raise BadInput(f"{out} holds other files already; the shards need a folder of their own")


def _find(options: Options) -> Pictures:
    """The pictures and what they show, the classes in the order that is asked for."""
    synsets = imagenet.read_synsets(options.synsets) if options.synsets else None
    if options.labels:
        found = imagenet.find_ilsvrc(options.source, options.labels, synsets)
    else:
        found = find_pictures(options.source, held_out=options.held_out, seed=options.seed)
    if options.class_order == "sorted":
        return found
    if synsets is None:
        raise BadInput("--class-order devkit needs --synsets, the devkit's meta.mat")
    return imagenet.in_order(found, synsets)


def _settings(options: Options, found: Pictures) -> dict[str, Any]:
    """All that the bytes of the shards follow from, but for what is in the picture files."""
    from PIL import features

    return {
        "size": options.size,
        "resize": options.resize,
        "filter": "bicubic, averaging where it shrinks",
        "quality": QUALITY,
        "class_order": options.class_order,
        "held_out": options.held_out,
        "order": "training pictures by the SHA-256 of SEED/NAME, test pictures by class and name",
        "seed": options.seed,
        "shard_size": options.shard_size,
        "pillow": version("pillow"),
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "pictures": _digest(found.class_names, found.train, found.test),
    }


def _digest(*values: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for value in (value for group in values for value in group):
        digest.update(f"{value!r}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files_of(found: Pictures, options: Options) -> dict[str, dict[str, list[PictureFile]]]:
    """The name of each shard, and its pictures; training pictures are shuffled once, by hashes."""
    shuffled = sorted(found.train, key=lambda file: draw(file, options.seed))
    files = {}
    for split, pictures in (("train", shuffled), ("test", found.test)):
        count = -(-len(pictures) // options.shard_size)
        ends = pairwise(len(pictures) * i // count for i in range(count + 1))
        names = (f"{split}-{i:05}-of-{count:05}.array_record" for i in range(count))
        files[split] = {name: pictures[a:b] for name, (a, b) in zip(names, ends, strict=True)}
    return files


def _make(
    options: Options, found: Pictures, files: dict[str, dict[str, list[PictureFile]]], log: Journal
) -> None:
    """Make what is not there yet, and write down each shard."""
    tasks = [
        Task(
            options.out / name,
            found.root,
            pictures,
            options.size,
            options.resize == "squash",
            options.strict,
            log.made.get(name),
        )
        for shards in files.values()
        for name, pictures in shards.items()
    ]
    total = sum(len(task.pictures) for task in tasks)
    with PictureProgress(total) as progress:
        for shard in make_shards(tasks, options.processes, progress.done):
            log.add(shard)


def _measure(options: Options, shards: Iterable[Shard], before: Manifest | None) -> Measured:
    """The mean image and the colors; they are kept where they are those of the same shards."""
    of = _digest(shard.sha256 for shard in shards)
    kept = before and before.statistics
    if kept and kept.shards == of and kept.fits(options.out):
        return kept
    paths = [options.out / shard.file for shard in shards if shard.pictures]
    pictures = sum(shard.pictures for shard in shards)
    print(f"measuring the mean and the colors of {pictures:,} pictures", flush=True)
    with PictureProgress(pictures) as progress:
        found = measure(paths, options.size, options.processes, progress.done)
    write_statistics(options.out, found)
    channels = found.mean.mean(axis=(0, 1), dtype="float64")
    files = {name: manifest.sha256(options.out / name) for name in (MEAN, COLORS)}
    return Measured(pictures, tuple(round(float(x), 4) for x in channels), of, files)


def _words(options: Options, classes: Iterable[str], before: Manifest | None) -> dict[str, str]:
    """What the list of synsets calls the classes, if it calls them anything."""
    if not options.synsets:
        return before.words if before else {}
    words = imagenet.read_words(options.synsets)
    return {name: words[name] for name in classes if name in words}


def _count(found: Pictures, files: list[PictureFile], shards: Iterable[Shard]) -> tuple[int, ...]:
    """The pictures of each class that are in the shards. Raises BadInput if a class has none."""
    left_out = {name for shard in shards for name in shard.left_out}
    counts = [0] * len(found.class_names)
    for name, label in files:
        counts[label] += name not in left_out
    for name, label in files:
        if not counts[label]:
            raise BadInput(
                f"none of the pictures of {found.class_names[label]} can be decoded: {name} "
                f"{reasons(shards)[name]}, for one"
            )
    return tuple(counts)


def reasons(shards: Iterable[Shard]) -> dict[str, str]:
    """Return why each picture was left out, by its name."""
    return {name: why for shard in shards for name, why in shard.left_out.items()}
