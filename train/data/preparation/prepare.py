"""Pictures to shards: finds the pictures, assigns them to shards, and writes the manifest."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...config.errors import BadInput, Ended, as_called
from ...runtime import lock
from ...runtime.progress import PictureProgress
from ..formats import imagenet, manifest, record_labels
from ..formats.class_folders import LabeledFile
from ..formats.image_folder import PictureSet, find_pictures, find_unlabeled, shuffle_key
from ..formats.image_resize import RULES
from ..formats.manifest import Manifest, Shard, StatisticsFiles
from ..image_statistics import COLORS, MEAN, write_statistics
from .journal import Journal
from .measure import measure_records
from .out_folder import check_folders, check_room, remove_leftovers
from .shards import QUALITY, ShardTask, write_shards

Assignment = dict[str, dict[str, Sequence[LabeledFile]]]
"""The pictures of each shard, by split and file name."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The arguments of `prepare`; train.prepare explains them in its help."""

    source: Path
    out: Path
    labels: Path | None = None
    synsets: Path | None = None
    class_order: str = "sorted"
    held_out: float = 0.1
    size: int = 256  # §2
    resize: str = "crop"
    encoding: str = "jpeg"
    seed: int = 0
    shard_size: int = 2048  # 65 MB of ILSVRC: few files, and little is lost by an interruption
    processes: int = 1
    strict: bool = False


def prepare(options: PrepareOptions) -> Manifest:
    """Write the shards and the manifest into `options.out`, and return the manifest.

    The shards depend on the pictures and the options, but not on the number of processes. Raises
    BadInput if an option or a folder is not as it should be, Ended after Ctrl-C.
    """
    check_folders(options.source, options.out)
    pictures = _find_pictures(options)
    for note in pictures.notes:
        print(as_called(note), flush=True)
    try:
        with lock.acquire(options.out, ".lock", "written"):
            return _write(options, pictures)
    except KeyboardInterrupt:
        raise Ended("stopped; the same command continues from here", 130) from None
    except OSError as error:  # of the journal or the manifest
        raise BadInput(f"{options.out} cannot be written: {error.strerror}") from None


def _write(options: PrepareOptions, pictures: PictureSet) -> Manifest:
    remove_leftovers(options.out)  # for the room that they take
    settings = _settings(options, pictures)
    journal = Journal(options.out, settings)
    assignment = _assign(pictures, options)
    _write_missing(options, pictures.root, assignment, journal)
    shards = {
        split: tuple(journal.shards[name] for name in files) for split, files in assignment.items()
    }
    contents = Manifest(
        settings,
        pictures.class_names,
        {
            split: _count(pictures.class_names, _files(pictures, split), shards[split])
            for split in assignment
        },
        shards,
        _measure(options, shards["train"], journal.manifest),
        _describe_classes(options, pictures.class_names, journal.manifest),
        record_labels.write_labels(options.out, _kept(assignment, journal.shards)),
        only_val=pictures.only_val,
    )
    contents.write(options.out)
    journal.close()
    remove_leftovers(options.out)  # of workers that have outlived a killed parent for a moment
    return contents


def _find_pictures(options: PrepareOptions) -> PictureSet:
    """Find the pictures and their labels, with the classes in the order of the options."""
    synsets = imagenet.read_synsets(options.synsets) if options.synsets else None
    if options.labels:
        pictures = imagenet.find_imagenet(options.source, options.labels, synsets)
    elif flat := find_unlabeled(options.source):
        raise BadInput(f"{flat} holds pictures outside of class folders, which need `labels`")
    else:
        pictures = find_pictures(options.source, held_out=options.held_out, seed=options.seed)
    if options.class_order == "sorted":
        return pictures
    if synsets is None:
        raise BadInput("`class_order` devkit needs `synsets`, the devkit's meta.mat")
    return imagenet.reorder_classes(pictures, synsets)


def _settings(options: PrepareOptions, pictures: PictureSet) -> dict[str, Any]:
    """Return what determines the bytes of the shards, except for the content of the pictures."""
    from PIL import features

    return {
        "size": options.size,
        "resize": options.resize,
        **({"crop": manifest.CROP} if options.resize == "crop" else {}),
        "filter": "bicubic, averaging where it shrinks",
        "encoding": options.encoding,
        **({"quality": QUALITY} if options.encoding == "jpeg" else {}),
        "class_order": options.class_order,
        "held_out": options.held_out,
        "order": "training pictures by the SHA-256 of SEED/NAME, test pictures by class and name",
        "seed": options.seed,
        "shard_size": options.shard_size,
        "pillow": version("pillow"),
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "pictures": _digest(pictures.class_names, pictures.train, pictures.test, pictures.val),
    }


def _digest(*groups: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for value in (value for group in groups for value in group):
        digest.update(f"{value!r}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _assign(pictures: PictureSet, options: PrepareOptions) -> Assignment:
    """Assign pictures to shards of nearly equal length; training pictures are shuffled, once."""
    assignment = {}
    for split in (*manifest.SPLITS, manifest.VAL):
        files = _files(pictures, split)
        if split == "train":
            files = sorted(files, key=lambda file: shuffle_key(file, options.seed))
        elif not files:
            continue  # there need be no validation pictures
        count = -(-len(files) // options.shard_size)
        ranges = pairwise(len(files) * i // count for i in range(count + 1))
        names = (f"{split}-{i:05}-of-{count:05}.array_record" for i in range(count))
        assignment[split] = {name: files[a:b] for name, (a, b) in zip(names, ranges, strict=True)}
    return assignment


def _kept(assignment: Assignment, shards: dict[str, Shard]) -> dict[str, list[LabeledFile]]:
    """Return the pictures in the shards of each split, in the order of the records."""
    return {
        split: [
            picture
            for file, pictures in files.items()
            for picture in pictures
            if picture[0] not in shards[file].skipped
        ]
        for split, files in assignment.items()
    }


def _files(pictures: PictureSet, split: str) -> Sequence[LabeledFile]:
    return {"train": pictures.train, "val": pictures.val, "test": pictures.test}[split]


def _write_missing(
    options: PrepareOptions, root: Path, assignment: Assignment, journal: Journal
) -> None:
    """Write the shards that are missing or damaged, and note each in the journal."""
    tasks = [
        ShardTask(
            options.out / name,
            root,
            pictures,
            options.size,
            RULES[options.resize],
            options.encoding,
            options.strict,
            journal.shards.get(name),
        )
        for shards in assignment.values()
        for name, pictures in shards.items()
    ]
    if options.encoding == "raw":
        check_room(
            options.out, options.size, sum(len(t.pictures) for t in tasks if not t.file.exists())
        )
    total = sum(len(task.pictures) for task in tasks)
    with PictureProgress(total) as progress:
        for shard in write_shards(tasks, options.processes, progress.done):
            journal.add(shard)


def _measure(
    options: PrepareOptions, shards: Iterable[Shard], previous: Manifest | None
) -> StatisticsFiles:
    """Measure and write the image statistics, unless those of the same shards exist."""
    digest = _digest(shard.sha256 for shard in shards)
    written = previous and previous.statistics
    if written and written.shards_digest == digest and written.matches(options.out):
        return written
    paths = [options.out / shard.file for shard in shards if shard.picture_count]
    count = sum(shard.picture_count for shard in shards)
    print(f"measuring the mean and the colors of {count:,} pictures", flush=True)
    with PictureProgress(count) as progress:
        statistics = measure_records(paths, options.size, options.processes, progress.done)
    write_statistics(options.out, statistics)
    channels = statistics.mean.mean(axis=(0, 1), dtype="float64")
    files = {name: manifest.sha256(options.out / name) for name in (MEAN, COLORS)}
    return StatisticsFiles(count, tuple(round(float(x), 4) for x in channels), digest, files)


def _describe_classes(
    options: PrepareOptions, class_names: Iterable[str], previous: Manifest | None
) -> dict[str, str]:
    """Return the descriptions of the classes in the list of synsets, or of an earlier run."""
    if not options.synsets:
        return previous.class_descriptions if previous else {}
    descriptions = imagenet.read_descriptions(options.synsets)
    return {name: descriptions[name] for name in class_names if name in descriptions}


def _count(
    class_names: tuple[str, ...], files: Sequence[LabeledFile], shards: Iterable[Shard]
) -> tuple[int, ...]:
    """Count the pictures of each class in the shards. Raises BadInput if a class loses all."""
    reasons = skip_reasons(shards)
    counts = [0] * len(class_names)
    for name, label in files:
        counts[label] += name not in reasons
    for name, label in files:
        if not counts[label]:
            raise BadInput(
                f"none of the pictures of {class_names[label]} can be decoded: {name} "
                f"{reasons[name]}, for one"
            )
    return tuple(counts)


def skip_reasons(shards: Iterable[Shard]) -> dict[str, str]:
    """Return why each picture was left out, by its name."""
    return {name: reason for shard in shards for name, reason in shard.skipped.items()}
