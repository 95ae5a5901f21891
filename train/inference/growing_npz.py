"""An .npz file whose arrays grow batch by batch, in bounded memory, written whole or not at all."""

import contextlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alexnet_jax.weights.files.atomic import replacing

_CHUNK = 2**20  # bytes copied at once


class GrowingNpz:
    """Arrays that grow along their first axis, each in a file of its own until the end."""

    def __init__(self, folder: Path) -> None:
        """Take an empty folder for the files."""
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._rows: dict[str, np.ndarray] = {}  # without any, for shape and dtype
        self.count = 0
        """Rows so far."""

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append rows to each array. Raises OSError if the disk is full."""
        for name, array in rows.items():
            if name not in self._files:
                self._files[name] = (self._folder / str(len(self._files))).open("wb+")
                self._rows[name] = array[:0]
            self._files[name].write(np.ascontiguousarray(array).data)
        self.count += len(next(iter(rows.values())))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        return {name: (self.count, *rows.shape[1:]) for name, rows in self._rows.items()}

    def save(self, path: Path, **others: np.ndarray) -> None:
        """Write all arrays, and `others` after them, as `np.savez` does. Raises OSError."""
        with zipfile.ZipFile(path, "w") as archive:
            for name, file in self._files.items():
                with _member(archive, name) as member:
                    _write_header(member, self._rows[name].dtype, self.shapes()[name])
                    file.seek(0)
                    shutil.copyfileobj(file, member, _CHUNK)
                file.truncate(0)  # the disk holds one array twice, not all
            for name, array in others.items():
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            # What a full disk kept from being written is an error of `append` or `save`.
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def grow_npz(path: Path) -> Iterator[GrowingNpz]:
    """Yield the arrays of a new file, for the block to append to and then to `save`.

    The files that grow lie in a hidden folder beside `path`, which is removed at the end and when
    the block raises. Raises OSError if it cannot be made.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder,
        contextlib.closing(GrowingNpz(Path(folder))) as arrays,
    ):
        yield arrays


def save_atomically(arrays: GrowingNpz, path: Path, **others: np.ndarray) -> None:
    """Save to `path`; a file of that name is replaced once everything is on the disk."""
    with replacing(path) as temporary:
        arrays.save(temporary, **others)


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[BinaryIO]:
    # ZipInfo's own date is 1980, so that the same arrays give the same bytes.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        yield member  # pyright: ignore[reportReturnType]


def _write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
