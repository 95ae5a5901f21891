"""A picture file as a square RGB array."""

import contextlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...config.errors import BadInput
from .image_resize import RULES
from .picture_formats import FORMATS

Image.MAX_IMAGE_PIXELS = 2**27  # Pillow refuses twice as many: 0.8 GB of RGB
_MAX_SIDE = 2**16  # JPEG's own limit; squashing takes 1 kB for each pixel of the longer side
_EXIF_ORIENTATION = 0x0112
warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata, which are not used
simplejpeg = importlib.util.find_spec("simplejpeg") and importlib.import_module("simplejpeg")
"""The optional faster decoder, or None."""


class BadPicture(BadInput):
    """A file, named in the message, that is not a picture or is damaged."""


def read_picture(path: Path, size: int) -> np.ndarray:
    """Return the center crop of a resized picture (§2), uint8 [size, size, 3], RGB.

    Raises BadPicture, with the path, if the file is not a picture or is damaged, and BadInput if it
    cannot be read at all.
    """
    return RULES["crop"](open_rgb(path, path)[0], size)


def open_rgb(file: Path | BinaryIO, name: object) -> tuple[Image.Image, tuple[str, ...]]:
    """Return a picture upright and in RGB, and a description of each conversion that this took.

    `name` is for messages. Raises BadPicture, or BadInput if the file cannot be read at all.
    """
    if isinstance(file, Path) and file.exists() and not file.is_file():
        raise BadInput(f"{name} is {_kind_of(file)}, not a file")  # opening a pipe would block
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if max(picture.size) >= _MAX_SIDE:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            conversions, rotated = _conversions(picture, str(name)), _is_rotated(picture)
            if rotated:
                ImageOps.exif_transpose(picture, in_place=True)
            return _to_rgb(picture), conversions + ("turned by EXIF",) * rotated
    except FileNotFoundError:
        raise BadInput(f"{name} does not exist") from None
    except UnidentifiedImageError:
        raise BadPicture(f"{name} is not a picture") from None
    except Exception as error:  # Pillow's parsers of some forty formats raise all kinds
        if isinstance(error, OSError) and error.errno:  # of the file system, not of Pillow
            raise BadInput(f"{name} cannot be read: {error.strerror}") from None
        reason = str(error).strip() or type(error).__name__
        raise BadPicture(f"{name} cannot be decoded: {reason.splitlines()[0]}") from None


def _kind_of(path: Path) -> str:
    """Return what a path is that is no regular file."""
    kinds = {"a folder": path.is_dir, "a pipe": path.is_fifo, "a socket": path.is_socket}
    return next((kind for kind, is_kind in kinds.items() if is_kind()), "a device")


def decode_jpeg(jpeg: bytes, name: object) -> np.ndarray:
    """Decode a JPEG file to uint8 [height, width, 3], RGB, by simplejpeg if it is installed.

    simplejpeg wraps the same library as Pillow and gives the same bytes in half of the time. What
    it rejects, Pillow judges. Raises BadPicture, with the name.
    """
    if simplejpeg:
        with contextlib.suppress(ValueError):
            if simplejpeg.decode_jpeg_header(jpeg)[2] == "YCbCr":
                return simplejpeg.decode_jpeg(jpeg)
    return np.asarray(open_rgb(io.BytesIO(jpeg), name)[0])


def _conversions(picture: Image.Image, name: str) -> tuple[str, ...]:
    """Return how a picture differs from a color JPEG file, which needs no conversion."""
    ending = name[name.rfind(".") :]
    expected = Image.registered_extensions().get(ending.lower())
    jpegs = {"JPEG", "MPO"}  # MPO is a JPEG file followed by more pictures
    matches = picture.format == expected or {picture.format, expected} <= jpegs
    conversions = [] if matches or expected is None else [f"{picture.format} named {ending}"]
    if picture.mode != "RGB":
        conversions.append(_MODES.get(picture.mode, picture.mode))
    if "transparency" in picture.info:
        conversions.append("transparent")
    return tuple(conversions)


def _is_rotated(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(_EXIF_ORIENTATION) in range(2, 9)
    except Exception:  # damaged metadata do not spoil the picture
        return False


_MODES = {"1": "gray", "L": "gray", "P": "palette", "RGBA": "transparent"}
_MODES |= {"LA": "gray, transparent", "PA": "palette, transparent", "I": "gray of 32 bits"}
_MODES |= {"F": "gray of floats"} | dict.fromkeys(("I;16", "I;16B", "I;16L"), "gray of 16 bits")


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Convert from any mode; transparent pixels become white, as on a page."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        wide = np.asarray(picture)
        gray = _to_eight_bits(wide, picture.mode)
        if isinstance(clear := picture.info.get("transparency"), int):
            gray[wide == clear] = 255
        picture = Image.fromarray(gray)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    if picture.mode == "RGB":
        picture.load()  # convert would do this, and copy
        return picture
    return picture.convert("RGB")


def _to_eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Scale gray values of 16 bits, or of a wider type by the range that they use, to 8 bits."""
    values = np.where(np.isfinite(values), values, 0)
    largest = values.max()
    scale = 255.0 if mode == "F" and largest <= 1 else 1.0
    if largest >= 2**16:
        values, scale = values / largest, 255.0
    elif mode.startswith("I;16") or largest > 255:
        scale = 1 / 256
    return (values * scale).clip(0, 255).astype(np.uint8)
