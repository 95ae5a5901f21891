"""Any picture file that Pillow opens, as a square RGB array."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from train.config import BadInput


def read_picture(path: Path, size: int) -> np.ndarray:
    """Return the picture as uint8 [size, size, 3], RGB: resized, then its centre (§2).

    Raises BadInput, with the path, for a file that is no picture, is damaged or cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return square(_rgb(ImageOps.exif_transpose(picture)), size)
    except UnidentifiedImageError:
        raise BadInput(f"{path} is not a picture") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be decoded: {error}") from None


def square(picture: Image.Image, size: int) -> np.ndarray:
    """Bring the shorter side to `size` pixels and cut out the centre: uint8 [size, size, 3]."""
    width, height = picture.size
    shorter = min(width, height)
    if shorter != size:
        shape = (
            max(size, round(width * size / shorter)),
            max(size, round(height * size / shorter)),
        )
        picture = picture.resize(shape, Image.Resampling.BICUBIC)
        width, height = shape
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def _rgb(picture: Image.Image) -> Image.Image:
    """Convert from any mode; what is transparent becomes white, as on a page."""
    if picture.mode.startswith("I"):  # 16 bits, whose upper 8 are wanted
        return Image.fromarray((np.asarray(picture) // 256).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return picture.convert("RGB")
