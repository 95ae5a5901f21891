"""Folders of small pictures as ILSVRC has them, and odd ones among them."""

import struct
import zlib

import numpy as np
from PIL import Image

SYNSETS = ("n01440764", "n02119789", "n03000001")  # in the order of their names
DEVKIT = (SYNSETS[1], SYNSETS[2], SYNSETS[0])  # the devkit begins with n02119789, too
SHOWN = (1, 0, 2, 2, 1)  # what the validation pictures show, by place in SYNSETS
RED = (200, 30, 40)


def photograph(path, seed, size=(40, 30)):
    """A smooth picture in color, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def ilsvrc(root, count=8):
    """ROOT/train/SYNSET/*.JPEG, `count` of each, and a flat ROOT/val of five."""
    for number, synset in enumerate(SYNSETS):
        (root / "train" / synset).mkdir(parents=True)
        for i in range(count):
            path = root / "train" / synset / f"{synset}_{i}.JPEG"
            photograph(path, 100 * number + i, (40 + i, 30))
    (root / "val").mkdir()
    for i in range(len(SHOWN)):
        photograph(root / "val" / f"ILSVRC2012_val_{i + 1:08}.JPEG", 1000 + i)


def odd(folder):
    """One picture of each oddity, all of them RED; returns what the manifest should call each."""
    folder.mkdir(parents=True)
    red = Image.new("RGB", (40, 30), RED)
    red.save(folder / "png.JPEG", "PNG")
    red.convert("CMYK").save(folder / "cmyk.JPEG", "JPEG")
    red.convert("L").save(folder / "gray.JPEG", "JPEG")
    red.convert("P").save(folder / "palette.png")
    red.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(np.full((30, 40), 200 * 256, np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    red.save(folder / "turned.jpg", exif=exif)
    red.save(folder / "metadata.jpg", exif=b"Exif\0\0no such thing")
    return {
        "png.JPEG": ["PNG named .JPEG"],
        "cmyk.JPEG": ["CMYK"],
        "gray.JPEG": ["gray"],
        "palette.png": ["palette"],
        "alpha.png": ["transparent"],
        "deep.png": ["gray of 16 bits"],
        "turned.jpg": ["turned by EXIF"],
    }


def undecodable(folder):
    """Files that are no pictures, or damaged ones; returns why, as the manifest should say."""
    folder.mkdir(parents=True, exist_ok=True)
    photograph(folder / "whole.jpg", 1, (400, 300))
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.JPEG").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.JPEG").write_bytes(b"")
    (folder / "page.JPEG").write_text("<html>404</html>")
    (folder / "bomb.png").write_bytes(png_of(30_000, 30_000))
    (folder / "strip.png").write_bytes(png_of(1, 70_000))
    return {
        "cut.JPEG": "cannot be decoded: image file is truncated",
        "empty.JPEG": "is not a picture",
        "page.JPEG": "is not a picture",
        "bomb.png": "cannot be decoded: Image size (900000000 pixels) exceeds limit",
        "strip.png": "cannot be decoded: 1 x 70000 pixels are too many",
    }


def png_of(width, height):
    """The beginning of a PNG of that size, which would be all zeros."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
