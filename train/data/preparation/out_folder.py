"""The folder that shards are written to: what may lie in it, and the room on its disk."""

import shutil
from pathlib import Path

from ...config.errors import BadInput
from ..formats import manifest, record_labels
from ..image_statistics import COLORS, MEAN


def check_folders(source: Path, out: Path) -> None:
    """Check that the folders can be read and written, and that `out` holds no foreign files."""
    if not source.is_dir():
        raise BadInput(f"{source} is not a folder")
    if manifest.exists(source):
        raise BadInput(f"{source} holds records; shards are made from the pictures themselves")
    if source.resolve() in (out.resolve(), *out.resolve().parents):
        raise BadInput(f"{out} lies in {source}; the shards need a folder elsewhere")
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise BadInput(f"{out} cannot be made a folder: {error.strerror}") from None
    if names and not names & {manifest.NAME, manifest.JOURNAL}:
        raise BadInput(f"{out} holds other files already; the shards need a folder of their own")


def check_room(out: Path, size: int, pictures: int) -> None:
    """Say what raw pictures of `size` pixels square will take, if any.

    Of JPEG files nobody knows beforehand. Raises BadInput if the disk has no room for them.
    """
    needed, free = pictures * 3 * size**2, shutil.disk_usage(out).free
    take = f"{pictures:,} raw pictures of {size} x {size} take {needed / 1e9:,.1f} GB"
    if needed > free:
        raise BadInput(f"{take}, and {out} has room for {free / 1e9:,.1f} GB")
    if pictures:
        print(f"{take}; {out} has room for {free / 1e9:,.1f} GB", flush=True)


def remove_leftovers(out: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    from alexnet_jax.weights.files import atomic  # imports JAX; workers do without

    for temporary in out.glob("*.array_record.*"):
        temporary.unlink(missing_ok=True)  # its process may still be about to end
    for name in (MEAN, COLORS, record_labels.NAME, manifest.NAME):
        atomic.remove_leftovers(out / name)
