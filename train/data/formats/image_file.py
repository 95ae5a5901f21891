"""Any picture file that Pillow opens, as a square RGB array."""

import contextlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...config.errors import BadInput

Image.MAX_IMAGE_PIXELS = 2**27  # Pillow refuses twice that: 0.8 GB of RGB
_LONGEST_SIDE = 2**16  # JPEG's own limit; squashing takes 1 kB for each pixel of it
_ORIENTATION = 0x0112  # EXIF's number of it
warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that nobody reads
simplejpeg = importlib.util.find_spec("simplejpeg") and importlib.import_module("simplejpeg")
"""The optional faster decoder, or None."""


class BadPicture(BadInput):
    """A file that is no picture, or a damaged one, by its name."""


def read_picture(path: Path, size: int) -> np.ndarray:
    """Return the picture as uint8 [size, size, 3], RGB: resized, then its center (§2).

    Raises BadPicture, with the path, for a file that is no picture or is damaged, and BadInput for
    one that cannot be read at all.
    """
    return square(open_rgb(path, path)[0], size)


def open_rgb(file: Path | BinaryIO, name: object) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a picture upright and in RGB, and in a few words what was odd about it, if anything.

    `name` is what to call it. Raises BadPicture, or BadInput if the file cannot be read at all.
    """
    if isinstance(file, Path) and file.is_fifo():  # which would be waited for
        raise BadInput(f"{name} is a pipe, not a file")
    try:
        with Image.open(file) as picture:
            if max(picture.size) >= _LONGEST_SIDE:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            odd, turned = _oddities(picture, str(name)), _is_turned(picture)
            if turned:
                ImageOps.exif_transpose(picture, in_place=True)
            return _rgb(picture), odd + ("turned by EXIF",) * turned
    except FileNotFoundError:
        raise BadInput(f"{name} does not exist") from None
    except UnidentifiedImageError:
        raise BadPicture(f"{name} is not a picture") from None
    except Exception as error:  # the parsers of some forty formats raise what they like
        if isinstance(error, OSError) and error.errno:  # the disk's, not Pillow's own
            raise BadInput(f"{name} cannot be read: {error.strerror}") from None
        why = str(error).strip() or type(error).__name__
        raise BadPicture(f"{name} cannot be decoded: {why.splitlines()[0]}") from None


def decode(jpeg: bytes, name: object) -> np.ndarray:
    """Return a JPEG file's picture as uint8 [height, width, 3], RGB, by simplejpeg if it is there.

    simplejpeg wraps the same library as Pillow and gives the same bytes, in half of the time. What
    it does not like, Pillow judges. Raises BadPicture, with the name.
    """
    if simplejpeg:
        with contextlib.suppress(ValueError):
            if simplejpeg.decode_jpeg_header(jpeg)[2] == "YCbCr":
                return simplejpeg.decode_jpeg(jpeg)
    return np.asarray(open_rgb(io.BytesIO(jpeg), name)[0])


def square(picture: Image.Image, size: int, *, squash: bool = False) -> np.ndarray:
    """Bring the shorter side to `size` pixels and cut out the center: uint8 [size, size, 3].

    To `squash` it instead keeps all of the picture, and not its proportions, as Caffe did. The
    filter is bicubic, and averages when it shrinks.
    """
    width, height = picture.size
    shorter = min(width, height)
    left, top = (width - shorter) // 2, (height - shorter) // 2
    # Only the square is resized: a long thin strip would take gigabytes.
    box = None if squash else (left, top, left + shorter, top + shorter)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _oddities(picture: Image.Image, name: str) -> tuple[str, ...]:
    """What a set of color JPEG files would not have, and is converted."""
    ending = name[name.rfind(".") :]
    said = Image.registered_extensions().get(ending.lower())
    alike = ("JPEG", "MPO")  # the latter is a JPEG file with more pictures behind it
    right = picture.format == said or said is None or {picture.format, said} <= {*alike}
    odd = [] if right else [f"{picture.format} named {ending}"]
    if picture.mode != "RGB":
        odd.append(_MODES.get(picture.mode, picture.mode))
    if "transparency" in picture.info:
        odd.append("transparent")
    return tuple(odd)


def _is_turned(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(_ORIENTATION) in range(2, 9)
    except Exception:  # damaged metadata are no reason to lose the picture
        return False


_MODES = {"1": "gray", "L": "gray", "P": "palette", "RGBA": "transparent"}
_MODES |= {"LA": "gray, transparent", "PA": "palette, transparent", "I": "gray of 32 bits"}
_MODES |= {"F": "gray of floats"} | dict.fromkeys(("I;16", "I;16B", "I;16L"), "gray of 16 bits")


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert from any mode; what is transparent becomes white, as on a page."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_eight_bits(np.asarray(picture), picture.mode))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    if picture.mode == "RGB":
        picture.load()  # which convert would do, and copy
        return picture
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Bring gray of 16 bits, or of a wider type whose range tells what it holds, to 8 bits."""
    largest = values.max()
    scale = 255.0 if mode == "F" and largest <= 1 else 1.0
    if mode.startswith("I;16") or largest > 255:
        scale = 1 / 256
    return (values * scale).clip(0, 255).astype(np.uint8)
