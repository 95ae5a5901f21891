"""Any picture file that Pillow opens, as a square RGB array."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from train.config import BadInput

Image.MAX_IMAGE_PIXELS = 2**30  # a data set is trusted more than an upload
warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that nobody reads


def read_picture(path: Path, size: int) -> np.ndarray:
    """Return the picture as uint8 [size, size, 3], RGB: resized, then its centre (§2).

    Raises BadInput, with the path, for a file that is no picture, is damaged or cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return square(_rgb(ImageOps.exif_transpose(picture)), size)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise BadInput(f"{path} is not a picture") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be decoded: {error}") from None


def square(picture: Image.Image, size: int) -> np.ndarray:
    """Bring the shorter side to `size` pixels and cut out the centre: uint8 [size, size, 3]."""
    width, height = picture.size
    shorter = min(width, height)
    left, top = (width - shorter) // 2, (height - shorter) // 2
    box = (left, top, left + shorter, top + shorter)
    # Only the square is resized: a long thin strip would take gigabytes.
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert from any mode; what is transparent becomes white, as on a page."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_eight_bits(np.asarray(picture), picture.mode))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Bring gray of 16 bits, or of a wider type whose range tells what it holds, to 8 bits."""
    largest = values.max()
    scale = 255.0 if mode == "F" and largest <= 1 else 1.0
    if mode.startswith("I;16") or largest > 255:
        scale = 1 / 256
    return (values * scale).clip(0, 255).astype(np.uint8)
