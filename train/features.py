"""Activations of a network's layers for all pictures below a folder, as an .npz file.

OUT.npz holds an array [n, ...] for each layer, and `files` [n], the paths below FOLDER. If the
pictures are in folders of classes, or FOLDER is a data set of train.main, it also holds `labels`
[n] and `class_names`; -1 labels a picture outside of such folders.
"""

import argparse
import functools
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config.errors import BadInput, Ended
from .runtime import backend, compile_cache
from .runtime.cli import WEIGHTS_HELP, add_devices, make_parser, new_file, positive, run_command

if TYPE_CHECKING:  # JAX is imported after the flags are parsed
    import jax
    import numpy as np

    from alexnet_jax import Params

    from .inference.labeled_images import LabeledImages
    from .inference.predictor import Predictor

EXAMPLES = (
    "python -m train.features runs/NAME FOLDER relu7.npz",
    "python -m train.features torchvision FOLDER OUT.npz --layers relu5,relu7 --pool mean",
)

OTHER_ARRAYS = ("files", "labels", "class_names")

Extract = Callable[["np.ndarray"], "dict[str, jax.Array]"]
"""From images, uint8 [n, stored_size, stored_size, 3], to activations by layer."""


def main(argv: list[str] | None = None) -> None:
    """Extract and write the activations."""
    flags = _parser().parse_args(argv)
    backend.set_up_devices(flags.devices)
    compile_cache.enable()
    from .inference.labeled_images import open_folder
    from .inference.predictor import open_predictor

    predictor = open_predictor(flags.weights, devices=flags.devices, layout=flags.layout)
    images = open_folder(flags.folder, predictor)
    names = flags.layers or [predictor.last_hidden_layer]
    extract = make_extract(predictor, names, flags.pool, flags.dtype)
    batch_size = predictor.batch_size(flags.batch_size, len(images.names))
    row_bytes = _check_layers(extract, names, predictor, batch_size)
    _check_space(flags.out, row_bytes, len(images.names), flags.dtype)
    write_features(extract, images, flags.out, batch_size, predictor.threads)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__spec__.name, __doc__, EXAMPLES)
    parser.add_argument("weights", metavar="WEIGHTS", help=WEIGHTS_HELP)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="pictures at any depth, or a data set"
    )
    parser.add_argument("out", metavar="OUT.npz", type=_npz, help="the file to write")
    parser.add_argument(
        "--layers",
        metavar="L1,L2",
        type=_names,
        help="by default the last hidden one, as relu7; python -m alexnet_jax NET lists them",
    )
    parser.add_argument(
        "--pool",
        choices=("mean", "max"),
        help="of each map over its pixels: PAPER's relu5 then has 256 numbers instead of 43,264",
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="in OUT")
    add_devices(parser)
    parser.add_argument(
        "--batch-size", metavar="N", type=positive, default=32, help="images at once (%(default)s)"
    )
    return parser


def _npz(text: str) -> Path:
    path = new_file(text)
    if path.suffix != ".npz":
        raise argparse.ArgumentTypeError(f"{path} should end in .npz")
    return path


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("must name layers, as relu5,relu7")
    return list(dict.fromkeys(names))


def make_extract(
    predictor: "Predictor", names: Sequence[str], pool: str | None = None, dtype: str = "float32"
) -> Extract:
    """Return a jitted function from images to the activations of the named layers.

    Args:
      predictor: of the network; the center crops go through it.
      names: of layers.
      pool: "mean" or "max" of each map over its pixels; None keeps them.
      dtype: of the activations.
    """
    import jax

    def extract(params: "Params", images: jax.Array) -> dict[str, jax.Array]:
        outputs = predictor.activations(params, images, names)
        for name, maps in outputs.items():
            if pool and maps.ndim == 4:
                maps = maps.mean(axis=(1, 2)) if pool == "mean" else maps.max(axis=(1, 2))
            outputs[name] = maps.astype(dtype)
        return outputs

    jitted = functools.partial(jax.jit(extract), predictor.params)

    def in_order(images: "np.ndarray") -> dict[str, jax.Array]:
        outputs = jitted(images)  # sorted by name, as JAX sorts all dicts
        return {name: outputs[name] for name in names}

    return in_order


def _check_layers(
    extract: Extract, names: Sequence[str], predictor: "Predictor", batch_size: int
) -> list[int]:
    """Return the bytes of a row of each layer.

    Raises BadInput if the network has no such layer, or if OUT cannot hold an array of its name.
    """
    import jax
    import numpy as np

    shape = (batch_size, predictor.stored_size, predictor.stored_size, 3)
    try:
        outputs = jax.eval_shape(extract, jax.ShapeDtypeStruct(shape, np.uint8))
    except ValueError as error:
        raise BadInput(f"`layers`: {error}") from None
    for name in OTHER_ARRAYS:
        if name in names:
            raise BadInput(f"`layers`: OUT.npz has an array {name} that is no layer's")
    return [output.size * output.dtype.itemsize // batch_size for output in outputs.values()]


def _check_space(out: Path, row_bytes: list[int], count: int, dtype: str) -> None:
    """Raise BadInput if the disk has no room for the features."""
    needed = count * (sum(row_bytes) + max(row_bytes))
    free = shutil.disk_usage(out.parent).free
    if needed > free:
        smaller = "`pool`, fewer `layers`" + ", or `dtype` float16" * (dtype == "float32")
        raise BadInput(
            f"{out} would take {_size(count * sum(row_bytes))}, and {_size(needed)} while it is "
            f"written, but {_size(free)} are free: use {smaller}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def write_features(
    extract: Extract, images: "LabeledImages", out: Path, batch_size: int, threads: int
) -> None:
    """Write the activations of all images, in bounded memory, to a file that is whole or not there.

    Raises BadInput if it cannot be written or no image can be decoded, Ended if the disk is full.
    """
    import numpy as np

    from .inference.growing_npz import grow_npz, save_atomically
    from .run_dir.disk_errors import find_disk_error

    kept: list[int] = []
    labels: list[int] = []
    try:
        with grow_npz(out) as arrays:
            for indices, batch_labels, rows in _extract_all(extract, images, batch_size, threads):
                kept += indices
                labels += batch_labels
                arrays.append(rows)
            if not kept:
                raise BadInput("none of the pictures can be decoded")
            others = {"files": np.array([images.names[index] for index in kept])}
            if images.class_names:
                others["labels"] = np.array(labels, np.int32)
                others["class_names"] = np.array(images.class_names)
            save_atomically(arrays, out, **others)
            shapes = arrays.shapes()
    except OSError as error:
        if (message := find_disk_error(error)) is None or not kept:
            raise BadInput(f"{out} cannot be written: {error.strerror or error}") from None
        raise Ended(f"stopped: {out} cannot be written: {message}; nothing was kept", 1) from None
    for name, shape in shapes.items():
        print(f"{name} {list(shape)}")
    print(out)


def _extract_all(
    extract: Extract, images: "LabeledImages", batch_size: int, threads: int
) -> "Iterator[tuple[list[int], list[int], dict[str, np.ndarray]]]":
    """Yield indices, labels and activations of the images that can be decoded, batch by batch."""
    import numpy as np

    from .inference.image_files import pad_images, read_ahead
    from .runtime.progress import PictureProgress

    total = len(images.names)
    batches = read_ahead(range(total), images.read, batch_size=batch_size, threads=threads)
    with PictureProgress(total) as progress:
        for pairs in batches:
            batch = pad_images([example.image for _, example in pairs], batch_size)
            rows = {name: np.asarray(x)[: len(pairs)] for name, x in extract(batch).items()}
            for name, array in rows.items():
                if array.dtype == np.float16 and np.isinf(array).any():
                    raise BadInput(f"{name} exceeds float16's 65,504: use `dtype` float32")
            yield [index for index, _ in pairs], [example.label for _, example in pairs], rows
            progress.done(pairs[-1][0] + 1)


if __name__ == "__main__":
    # A plain SIGTERM would leave the unfinished file's folder behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    backend.restart_with_huge_pages()
    run_command(main, outlives_reader=True)
