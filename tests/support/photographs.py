"""Folders of small pictures in ILSVRC's layout, and pictures that are odd or undecodable."""

import struct
import zlib

import numpy as np
from PIL import Image

SYNSETS = ("n01440764", "n02119789", "n03000001")  # in the order of their names
DEVKIT = (SYNSETS[1], SYNSETS[2], SYNSETS[0])  # the real devkit begins with n02119789, too
SHOWN = (1, 0, 2, 2, 1)  # classes of the validation pictures, as indices into SYNSETS
RED = (200, 30, 40)


def write_photograph(path, seed, size=(40, 30)):
    """Write a smooth color picture, a different one for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def write_ilsvrc(root, count=8):
    """Write ROOT/train/SYNSET/*.JPEG, `count` each, and five pictures in a flat ROOT/val."""
    for number, synset in enumerate(SYNSETS):
        (root / "train" / synset).mkdir(parents=True)
        for i in range(count):
            path = root / "train" / synset / f"{synset}_{i}.JPEG"
            write_photograph(path, 100 * number + i, (40 + i, 30))
    (root / "val").mkdir()
    for i in range(len(SHOWN)):
        write_photograph(root / "val" / f"ILSVRC2012_val_{i + 1:08}.JPEG", 1000 + i)


def write_odd_pictures(folder):
    """Write a RED picture of each oddity; returns the manifest's name for each."""
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


def write_undecodable(folder):
    """Write files that are damaged or no pictures; returns the manifest's reason for each."""
    folder.mkdir(parents=True, exist_ok=True)
    write_photograph(folder / "whole.jpg", 1, (400, 300))
    jpeg = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "cut.JPEG").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "empty.JPEG").write_bytes(b"")
    (folder / "page.JPEG").write_text("<html>404</html>")
    (folder / "bomb.png").write_bytes(png_start(30_000, 30_000))
    (folder / "strip.png").write_bytes(png_start(1, 70_000))
    return {
        "cut.JPEG": "cannot be decoded: image file is truncated",
        "empty.JPEG": "is not a picture",
        "page.JPEG": "is not a picture",
        "bomb.png": "cannot be decoded: Image size (900000000 pixels) exceeds limit",
        "strip.png": "cannot be decoded: 1 x 70000 pixels are too many",
    }


def png_start(width, height):
    """The first bytes of an all-zero PNG of that size."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
