"""Images per second from shards and folders: `python -m benchmarks.loader RECORDS FOLDER`.

RECORDS is a folder of train.prepare, FOLDER the pictures that it was made from; training pictures
are read. All readers take turns in one process: a plain Pillow loop, our sources by index, and
Grain's batches put on the device. Those of JPEGs in shards also run with simplejpeg if it is
installed. `--raw RAW` adds the same pictures from train.prepare --encoding raw.
"""

import argparse
import contextlib
import io
import itertools
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from train.config.errors import BadInput
from train.runtime import backend
from train.runtime.cli import make_parser, new_file, positive, run_command

if TYPE_CHECKING:
    import numpy as np

    from train.data.examples import Source
    from train.data.formats.manifest import Manifest

RATES = (2_000, 10_000, 40_000)
"""Images per second that devices may ask for. By estimate, an H100 asks for 20,000 to 55,000."""
ILSVRC = 1_281_167 + 50_000
"""Pictures in ILSVRC-2012, training and validation."""
_STOPS = 60.0  # seconds: a batch of any reader takes less
_PREFETCH = 2  # batches; more would hide the loader's time in a short turn


class Turn(NamedTuple):
    """One measurement: images, seconds by the clock, and processor seconds of all cores."""

    images: int
    wall: float
    cores: float


def main(argv: list[str] | None = None) -> None:
    """Time all readers round by round; print medians, and the cores that each rate takes."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("records", type=Path, metavar="RECORDS", help="a folder of train.prepare")
    flags.add_argument("folder", type=Path, metavar="FOLDER", help="pictures in folders by class")
    flags.add_argument("--raw", type=Path, help="the same pictures as raw records")
    flags.add_argument("--images", type=positive, default=512, help="per turn (%(default)s)")
    flags.add_argument("--batch-size", type=positive, default=128, help="(%(default)s)")
    flags.add_argument("--rounds", type=positive, default=5, help="(%(default)s)")
    flags.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="of Grain (1 2)")
    flags.add_argument("--json", type=new_file, help="write the figures here")
    arguments = flags.parse_args(argv)
    backend.set_up_devices(1)
    readers = all_readers(arguments)
    turns: dict[str, list[Turn]] = {name: [] for name in readers}
    for number in range(arguments.rounds + 1):
        for name, read_images in readers.items():
            turn = read_images()
            if number:  # the first round loads the files into the page cache
                turns[name].append(turn)
    figures = {
        name: {
            "images_per_second": statistics.median(turn.images / turn.wall for turn in measured),
            "per_core": statistics.median(turn.images / turn.cores for turn in measured),
        }
        for name, measured in turns.items()
    }
    report(figures)
    for folder in filter(None, (arguments.records, arguments.raw)):
        print(disk_size(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


def all_readers(arguments: argparse.Namespace) -> dict[str, Callable[[], Turn]]:
    """Return all readers by name. Raises BadInput if there is no such data."""
    from train.data.formats import image_file
    from train.data.formats.class_folders import ClassFolders
    from train.data.formats.folder_layout import find_layout
    from train.data.formats.image_folder import PictureSource

    contents = read_manifest(arguments.records, "jpeg")
    size, count = contents.size, arguments.images
    # ILSVRC's validation pictures are in no class folder; they are not read here.
    layout = find_layout(arguments.folder)
    files, _ = ClassFolders(layout).training_pictures()
    paths = [layout.root / name for name, _ in files[:: -(-len(files) // count)]]
    jpegs = stored_jpegs(arguments.records, contents, count)
    slow = {
        "folder, plain Pillow loop": lambda: timed(plain_pillow(path, size) for path in paths),
        "JPEGs in memory, plain Pillow loop": lambda: timed(map(plain_decode, jpegs)),
    } | source_readers("folder", PictureSource(layout.root, files, size), arguments)
    decoding = {
        "JPEGs in memory, of the shards": lambda: timed(
            image_file.decode_jpeg(j, "") for j in jpegs
        ),
    } | source_readers("JPEG shards", open_shards(arguments.records, size), arguments)
    readers = slow | {name: with_decoder(None, reader) for name, reader in decoding.items()}
    if fast := image_file.simplejpeg:
        readers |= {f"{name}, simplejpeg": with_decoder(fast, decoding[name]) for name in decoding}
    if arguments.raw:
        read_manifest(arguments.raw, "raw")
        readers |= source_readers("raw shards", open_shards(arguments.raw, size), arguments)
    return readers


def source_readers(
    name: str, source: "Source", arguments: argparse.Namespace
) -> dict[str, Callable[[], Turn]]:
    """Return the readers of a source: by index, and through Grain by each number of threads."""
    images, batch = arguments.images, arguments.batch_size
    readers = {f"{name}, by index": lambda: timed(by_index(source, images))}
    for threads in arguments.threads:
        readers[f"{name}, Grain, device, {threads} threads"] = lambda threads=threads: grain_turn(
            source, batch, images, threads
        )
    return readers


def read_manifest(records: Path, encoding: str) -> "Manifest":
    """Return the manifest of a folder of records. Raises BadInput if they have another encoding."""
    from train.data.formats import manifest

    contents = manifest.read(records)
    if contents.encoding != encoding:
        raise BadInput(f"{records} holds {contents.encoding} records, not {encoding} ones")
    return contents


def open_shards(records: Path, size: int) -> "Source":
    """Return the training pictures of a folder of records."""
    from train.data.dataset import open_data

    return open_data(records, "records", size).train


def with_decoder(decoder: object, reader: Callable[[], Turn]) -> Callable[[], Turn]:
    """Return the reader with `decoder` in place of simplejpeg; None is Pillow."""
    from train.data.formats import image_file

    def read_images() -> Turn:
        before = image_file.simplejpeg
        image_file.simplejpeg = decoder  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return reader()
        finally:
            image_file.simplejpeg = before

    return read_images


def timed(images: Iterable[object]) -> Turn:
    """Iterate over the images, and time and count them."""
    wall, cores = time.perf_counter(), time.process_time()
    count = sum(1 for _ in images)
    return Turn(count, time.perf_counter() - wall, time.process_time() - cores)


def plain_pillow(path: Path, size: int) -> "np.ndarray":
    """Read a picture in the usual way: decode, cut the center out, resize."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        return np.asarray(
            ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
        )


def plain_decode(jpeg: bytes) -> "np.ndarray":
    """Decode, and nothing else."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)))


def stored_jpegs(records: Path, contents: "Manifest", count: int) -> list[bytes]:
    """Return the bytes of JPEG files in the training shards, up to `count`."""
    from grain.sources import ArrayRecordDataSource

    from train.data.formats.records import unpack_record

    shards = contents.shards["train"]
    source = ArrayRecordDataSource([str(records / shard.file) for shard in shards])
    count = min(count, sum(shard.picture_count for shard in shards))
    return [unpack_record(source[index])["jpeg"] for index in range(count)]


def by_index(source: "Source", count: int) -> Iterator[object]:
    """Yield up to `count` examples spread over the whole source."""
    return (source[index] for index in range(0, len(source), -(-len(source) // count)))


def grain_turn(source: "Source", batch: int, count: int, threads: int) -> Turn:
    """Read batches as in training, and wait until each is on the device.

    The threads that read ahead have ended when it returns: the next reader's processor time would
    count theirs.
    """
    import jax

    from train.data.pipeline import train_batches

    others = {*threading.enumerate()}
    iterator = train_batches(
        source, batch_size=batch, seed=0, position=0, threads=threads, prefetch=_PREFETCH
    )
    with contextlib.closing(iterator):
        for _ in range(_PREFETCH + threads):  # now the buffer is as full as it will be at the end
            next(iterator)
        # Threads finish their batches together: the time of one or two batches would be random.
        batches = itertools.islice(iterator, max(-(-count // batch), 4 * threads))
        turn = timed(jax.block_until_ready(jax.device_put(images)) for images in batches)
    for thread in {*threading.enumerate()} - others:
        if not thread.name.startswith("decode"):  # a pool's, which rest
            thread.join(_STOPS)
    return turn._replace(images=turn.images * batch)


def report(figures: dict[str, dict[str, float]]) -> None:
    """Print the rates, and how many cores each of `RATES` takes at the rate of one."""
    table = Table(
        title="images per second, and the cores that bring a device as many as the last columns say"
    )
    for column in ("", "by the clock", "per core", *(f"{rate:,}" for rate in RATES)):
        table.add_column(column, justify="right" if column else "left")
    for name, rates in figures.items():
        cores = [f"{math.ceil(rate / rates['per_core']):,}" for rate in RATES]
        row = (f"{rates[key]:,.0f}" for key in ("images_per_second", "per_core"))
        table.add_row(name, *row, *cores)
    Console(width=120).print(table)


def disk_size(records: Path) -> str:
    """Return a line with the bytes of a record on the disk, and of ILSVRC's at that."""
    from train.data.formats.manifest import read

    contents = read(records)
    shards = [shard for split in contents.shards.values() for shard in split]
    pictures = sum(shard.picture_count for shard in shards)
    each = sum(shard.byte_count for shard in shards) / pictures
    return (
        f"{records}: {contents.encoding} of {contents.size} x {contents.size}, {each:,.0f} bytes a "
        f"picture; {ILSVRC:,} of them, as in ILSVRC-2012, would take {ILSVRC * each / 1e9:,.0f} GB"
    )


if __name__ == "__main__":
    run_command(main)
