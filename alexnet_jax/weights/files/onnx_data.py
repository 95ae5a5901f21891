"""Files of numbers beside an ONNX model, such as alexnet.onnx.data beside alexnet.onnx.

PyTorch's exporter writes two files since version 2.9. A model names the file, and a model from a
stranger must not name any other: only files of its own folder are opened.
"""

import mmap
import stat
from pathlib import Path

from alexnet_jax.printable import printable

_MAX_DIGITS = 18  # of an offset or a length


class DataFiles:
    """The files in the folder of a model, each opened at its first use."""

    def __init__(self, model: Path) -> None:
        """Open nothing yet."""
        self.model = model
        self.files: dict[str, memoryview] = {}

    def read(self, entries: dict[str, str]) -> memoryview:
        """Return the bytes that a tensor's entries say, without copying them.

        Args:
          entries: "location", the name of a file; "offset" and "length" in bytes, by default all.

        Raises:
          ValueError: a file that is not there, or elsewhere; bytes that it does not have.
        """
        name = entries.get("location", "")
        if name not in self.files:
            self.files[name] = self._open(name)
        data = self.files[name]
        start = _size(entries, "offset", 0)
        count = _size(entries, "length", max(len(data) - start, 0))
        if start + count > len(data):
            shown = printable(name, 60)
            raise ValueError(
                f"it needs {start + count:,} bytes of {shown}, which has {len(data):,}"
            )
        return data[start : start + count]

    def _open(self, name: str) -> memoryview:
        shown = printable(name, 60) or "a file without a name"
        if Path(name).name != name or "\\" in name or "\0" in name or not name:
            raise ValueError(f"its numbers are in {shown}, which is not a file of its own folder")
        folder, real = self.model.parent, self.model.resolve().parent
        try:
            path = (folder / name).resolve(strict=True)
            if path.parent not in (folder.resolve(), real):
                raise ValueError(f"its numbers are in {shown}, a link that leads out of its folder")
            if not stat.S_ISREG(path.stat().st_mode):
                raise ValueError(f"its numbers are in {shown}, which is no file")
            with path.open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            raise ValueError(
                f"its numbers are in {shown}, which is not beside it: both files belong together"
            ) from None
        except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError
            reason = getattr(error, "strerror", None) or "its links form a circle"
            raise ValueError(
                f"its numbers are in {shown}, which cannot be read: {reason}"
            ) from None


def _size(entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise ValueError(f"the {key} of its numbers is {printable(text, 40)}")
    return int(text)
