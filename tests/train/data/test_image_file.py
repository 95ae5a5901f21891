"""Picture files, read as arrays of one size."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from train.config.errors import BadInput
from train.data.formats.image_file import BadPicture, read_picture
from train.data.formats.picture_formats import ENDINGS

RED = (200, 30, 40)


def save(path, mode, **options):
    Image.new("RGB", (40, 30), RED).convert(mode).save(path, **options)


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("a.png", "RGB", RED),
        ("a.png", "P", RED),
        ("a.png", "RGBA", RED),
        ("a.jpg", "CMYK", RED),
        ("a.png", "L", (82, 82, 82)),  # ITU-R 601: 0.299 R + 0.587 G + 0.114 B
        ("a.png", "1", None),
        ("a.gif", "P", RED),
        ("a.webp", "RGB", RED),
    ],
)
def test_a_picture_of_any_mode_becomes_rgb(tmp_path, name, mode, expected):
    save(tmp_path / name, mode)
    picture = read_picture(tmp_path / name, 16)
    assert picture.shape == (16, 16, 3)
    assert picture.dtype == np.uint8
    if expected:
        assert abs(picture.astype(int) - expected).max() <= 12  # palettes and JPEG round


def test_sixteen_bits_of_gray_keep_their_upper_eight(tmp_path):
    Image.fromarray(np.full((9, 9), 200 * 256 + 7, np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png", 9), np.full((9, 9, 3), 200))


def test_transparent_pixels_become_white(tmp_path):
    clear = np.zeros((9, 9, 4), np.uint8)
    clear[:, :5] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    picture = read_picture(tmp_path / "clear.png", 9)
    np.testing.assert_array_equal(picture[:, :5], np.full((9, 5, 3), (10, 20, 30)))
    np.testing.assert_array_equal(picture[:, 5:], np.full((9, 4, 3), 255))


def test_a_rotation_in_the_exif_data_is_applied(tmp_path):
    upright = np.zeros((24, 24, 3), np.uint8)
    upright[:12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a turned camera: the top of the scene is at the right of the file
    rotated = Image.fromarray(np.rot90(upright).copy())
    rotated.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png", 24), upright)


def test_the_shorter_side_is_resized_and_the_center_cropped(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "wide.png", 10), np.full((10, 10, 3), 255)
    )


def test_a_long_thin_picture_costs_no_more_than_its_square(tmp_path):
    Image.new("RGB", (20000, 1), RED).save(tmp_path / "thin.png")
    picture = read_picture(tmp_path / "thin.png", 256)
    np.testing.assert_array_equal(picture, np.full((256, 256, 3), RED))


@pytest.mark.parametrize(
    ("values", "gray"),
    [(np.float32(0.5), 127), (np.float32(99), 99), (np.int32(99), 99), (np.int32(51200), 200)],
)
def test_gray_of_more_than_8_bits_is_scaled_by_its_range(tmp_path, values, gray):
    Image.fromarray(np.full((9, 9), values)).save(tmp_path / "wide.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "wide.tif", 9), np.full((9, 9, 3), gray))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_gray_beyond_16_bits_keeps_its_steps(tmp_path, kind):
    steps = np.repeat(np.arange(3), 3).astype(kind) * 500_000
    Image.fromarray(np.tile(steps, (9, 1))).save(tmp_path / "wide.tif")
    read = read_picture(tmp_path / "wide.tif", 9)
    np.testing.assert_array_equal(read[0, :, 0], np.repeat([0, 127, 255], 3))


def test_only_formats_that_are_decoded_in_the_process_are_opened(tmp_path, monkeypatch):
    """For PostScript, Pillow would start Ghostscript."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    starts = {
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\n",
        "mpeg": b"\0\0\1\xb3\x10\x00\x10\x13",
        "hdf5": b"\x89HDF\r\n\x1a\n",
        "grib": b"GRIB\0\0\0\1",
        "bufr": b"BUFR\0\0\0\1",
        "metafile": b"\xd7\xcd\xc6\x9a\0\0",
    }
    for name, start in starts.items():
        (tmp_path / f"{name}.jpg").write_bytes(start + bytes(500))
        with pytest.raises(BadPicture, match=f"{name}.jpg is not a picture"):
            read_picture(tmp_path / f"{name}.jpg", 8)
    assert not ENDINGS & {".ps", ".eps", ".pdf", ".mpg", ".h5", ".grib", ".bufr", ".wmf", ".emf"}
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif", ".mpo"} <= ENDINGS


def test_what_gray_of_more_than_8_bits_cannot_show_is_transparent_or_black(tmp_path):
    deep = np.full((9, 9), 200 * 256, np.uint16)
    deep[0] = 300
    Image.fromarray(deep).save(tmp_path / "deep.png", transparency=300)
    picture = read_picture(tmp_path / "deep.png", 9)
    assert (picture[0].min(), picture[1:].min(), picture[1:].max()) == (255, 200, 200)
    floats = np.full((9, 9), 0.5, np.float32)
    floats[0], floats[1, ::2], floats[1, 1::2] = np.nan, np.inf, -np.inf
    Image.fromarray(floats).save(tmp_path / "floats.tif")
    picture = read_picture(tmp_path / "floats.tif", 9)
    assert (picture[:2].max(), picture[2:].min()) == (0, 127)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(BadInput, match=r"text.jpg is not a picture"):
        read_picture(tmp_path / "text.jpg", 8)
    save(tmp_path / "whole.jpg", "RGB")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"cut.jpg cannot be decoded"):
        read_picture(tmp_path / "cut.jpg", 8)
    with pytest.raises(BadInput, match=r"none.png does not exist"):
        read_picture(tmp_path / "none.png", 8)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadInput, match=r"pipe.png is a pipe, not a file"):
        read_picture(tmp_path / "pipe.png", 8)
