"""Images per second from shards and folders: `python -m benchmarks.loader RECORDS FOLDER`.

RECORDS is a folder of train.prepare, FOLDER the pictures that it was made from; training pictures
are read. All readers take turns in one process: a plain Pillow loop, our sources by index, and
Grain's batches put on the device. Those of shards also run with simplejpeg if it is installed.
"""

import argparse
import contextlib
import io
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from train.runtime import backend
from train.runtime.cli import make_parser, new_file, positive, run_command

if TYPE_CHECKING:
    import numpy as np

    from train.data.examples import Source

GPU = 2000
"""Images per second that one GPU is assumed to train on; a round number for comparison."""
CORES = (1, 2, 4, 8, 16, 32, 64)
_PREFETCH = 2  # batches; more would hide the loader's time in a short turn


class Turn(NamedTuple):
    """One measurement: images, seconds by the clock, and processor seconds of all cores."""

    images: int
    wall: float
    cores: float


def main(argv: list[str] | None = None) -> None:
    """Time all readers round by round; print medians, and how many GPUs they would feed."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("records", type=Path, metavar="RECORDS", help="a folder of train.prepare")
    flags.add_argument("folder", type=Path, metavar="FOLDER", help="pictures in folders by class")
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
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))


def all_readers(arguments: argparse.Namespace) -> dict[str, Callable[[], Turn]]:
    """Return all readers by name. Raises BadInput if there is no such data."""
    from train.data.dataset import open_data
    from train.data.formats import image_file
    from train.data.formats.class_folders import ClassFolders
    from train.data.formats.folder_layout import find_layout
    from train.data.formats.image_folder import PictureSource
    from train.data.formats.manifest import read

    size, batch = read(arguments.records).size, arguments.batch_size
    shards = open_data(arguments.records, "records", size).train
    # ILSVRC's validation pictures are in no class folder; they are not read here.
    layout = find_layout(arguments.folder)
    files, _ = ClassFolders(layout).training_pictures()
    folder = PictureSource(layout.root, files, size)
    paths = [layout.root / name for name, _ in files[:: -(-len(files) // arguments.images)]]
    jpegs = stored_jpegs(arguments.records, arguments.images)

    def through_grain(source: "Source", threads: int) -> Callable[[], Turn]:
        return lambda: grain_turn(source, batch, arguments.images, threads)

    readers: dict[str, Callable[[], Turn]] = {
        "folder, plain Pillow loop": lambda: timed(plain_pillow(path, size) for path in paths),
        "folder, by index": lambda: timed(by_index(folder, arguments.images)),
        "JPEGs in memory, plain Pillow loop": lambda: timed(map(plain_decode, jpegs)),
        "JPEGs in memory, of the shards": lambda: timed(
            image_file.decode_jpeg(j, "") for j in jpegs
        ),
        "shards, by index": lambda: timed(by_index(shards, arguments.images)),
    }
    for threads in arguments.threads:
        readers[f"folder, Grain, device, {threads} threads"] = through_grain(folder, threads)
        readers[f"shards, Grain, device, {threads} threads"] = through_grain(shards, threads)
    fast = image_file.simplejpeg
    if fast is None:
        return readers
    slow = {name: with_decoder(None, reader) for name, reader in readers.items()}
    return slow | {
        f"{n}, simplejpeg": with_decoder(fast, readers[n]) for n in readers if "hards" in n
    }


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


def stored_jpegs(records: Path, count: int) -> list[bytes]:
    """Return the bytes of JPEG files in the training shards, up to `count`."""
    from grain.sources import ArrayRecordDataSource

    from train.data.formats.manifest import read
    from train.data.formats.records import unpack_record

    shards = read(records).shards["train"]
    source = ArrayRecordDataSource([str(records / shard.file) for shard in shards])
    count = min(count, sum(shard.picture_count for shard in shards))
    return [unpack_record(source[index])["jpeg"] for index in range(count)]


def by_index(source: "Source", count: int) -> Iterator[object]:
    """Yield up to `count` examples spread over the whole source."""
    return (source[index] for index in range(0, len(source), -(-len(source) // count)))


def grain_turn(source: "Source", batch: int, count: int, threads: int) -> Turn:
    """Read batches as in training, and wait until each is on the device."""
    import jax

    from train.data.pipeline import train_batches

    iterator = train_batches(
        source, batch_size=batch, seed=0, position=0, threads=threads, prefetch=_PREFETCH
    )
    with contextlib.closing(iterator):
        for _ in range(_PREFETCH + threads):  # now the buffer is as full as it will be at the end
            next(iterator)
        # Threads finish their batches together: the time of one or two batches would be random.
        batches = itertools.islice(iterator, max(-(-count // batch), 4 * threads))
        turn = timed(jax.block_until_ready(jax.device_put(images)) for images in batches)
    return turn._replace(images=turn.images * batch)


def report(figures: dict[str, dict[str, float]]) -> None:
    """Print the rates, and how many GPUs a number of cores would feed at the rate per core."""
    table = Table(title=f"images per second, and GPUs of {GPU:,} fed by 1 to 64 cores")
    for column in ("", "by the clock", "per core", *(f"{cores}" for cores in CORES)):
        table.add_column(column, justify="right" if column else "left")
    for name, rates in figures.items():
        gpus = [f"{cores * rates['per_core'] / GPU:.1f}" for cores in CORES]
        table.add_row(name, f"{rates['images_per_second']:.0f}", f"{rates['per_core']:.0f}", *gpus)
    Console(width=140).print(table)


if __name__ == "__main__":
    run_command(main)
