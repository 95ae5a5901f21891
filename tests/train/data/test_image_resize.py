"""One rule for resizing: Pillow's pixels, whichever part of the program reads a picture."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from alexnet_jax import Preprocessing, architectures
from alexnet_jax.image_resize import Resize
from train.config.config import Config
from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.formats.image_file import open_rgb
from train.data.formats.image_resize import RULES, ResizeRule
from train.data.preparation.prepare import PrepareOptions, prepare
from train.data.stored_size import stored_resize
from train.inference import evaluation_data, labeled_images
from train.inference.image_files import read_batches
from train.inference.predictor import Predictor
from train.runtime.mesh import make_mesh

SIZE = 24
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "turned")
SIDES = ((61, 40), (40, 61), (35, 35), (50, 32), (20, 15), (15, 20), (24, 24), (47, 24))


def torchvision_crop(picture, size, method=Image.Resampling.BICUBIC):
    """Pillow's `resize` and `crop`, by the sizes and corners of torchvision."""
    width, height = picture.size
    short = min(width, height)
    new = int(size * width / short), int(size * height / short)
    left, top = (round((side - size) / 2) for side in new)
    return np.asarray(picture.resize(new, method).crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_pixels_are_those_of_pillows_resize_and_crop_at_any_size(interpolation, rng):
    method = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC}[interpolation]
    for _ in range(60):
        sides, size = rng.integers(1, 90, 2), int(rng.integers(1, 90))
        picture = Image.fromarray(rng.integers(0, 256, (*sides, 3), np.uint8))
        ours = ResizeRule("shorter side", interpolation)(picture, size)
        expected = torchvision_crop(picture, size, method)
        assert abs(ours.astype(int) - expected).max() <= 1, (sides, size)
        squashed = ResizeRule("both sides", interpolation)(picture, size)
        expected = np.asarray(picture.resize((size, size), method))
        assert abs(squashed.astype(int) - expected).max() <= 1, (sides, size)


def test_a_long_strip_gives_the_same_pixels_from_its_center_alone(rng):
    strip = Image.fromarray(rng.integers(0, 256, (3, 800, 3), np.uint8))
    difference = RULES["crop"](strip, 40).astype(int) - torchvision_crop(strip, 40)
    assert abs(difference).max() <= 2  # Pillow takes a part's corner in float32
    assert abs(difference).mean() < 0.01
    longest = Image.fromarray(np.full((1, 65000), 7, np.uint8))
    np.testing.assert_array_equal(RULES["crop"](longest, 256), np.full((256, 256), 7))


def draw(mode, sides, rng):
    """A picture of smooth colors with some noise, in a mode, and its pixels in RGB."""
    rows, columns = np.mgrid[: sides[1], : sides[0]]
    smooth = np.stack([6 * rows, 5 * columns, 4 * (rows + columns)], axis=-1) % 256
    pixels = (smooth / 2 + rng.integers(0, 100, smooth.shape)).astype(np.uint8)
    if mode == "I;16":
        deep = pixels[..., 0].astype(np.uint16) * 256 + 77
        return Image.fromarray(deep), np.repeat(pixels[..., :1], 3, axis=2)
    if mode in ("RGBA", "LA"):
        alpha = np.where(columns < sides[0] // 3, 0, 255).astype(np.uint8)
        color = Image.fromarray(pixels).convert(mode[:-1])
        picture = color.copy()
        picture.putalpha(Image.fromarray(alpha))
        return picture, np.where(alpha[..., None] > 0, np.asarray(color.convert("RGB")), 255)
    if mode == "turned":
        return Image.fromarray(np.rot90(pixels).copy()), pixels
    picture = Image.fromarray(pixels)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    return picture, np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of all modes and sides in two classes, and a dict of their pixels by name."""
    root, rng = tmp_path_factory.mktemp("modes"), np.random.default_rng(4)
    pixels = {}
    for i, mode in enumerate(MODES):
        for j, sides in enumerate(SIDES):
            ending = "tif" if mode == "CMYK" else "png"
            name = f"{'ab'[(i + j) % 2]}/{mode.replace(';', '')}-{sides[0]}x{sides[1]}.{ending}"
            exif = Image.Exif()
            if mode == "turned":
                exif[0x0112] = 6
            (root / name).parent.mkdir(exist_ok=True)
            picture, pixels[name] = draw(mode, sides, rng)
            picture.save(root / name, exif=exif)
    return root, pixels


def make_predictor(resize: Resize = "shorter side", config=None):
    net = architectures.DIGITS.with_classes(2)
    preprocessing = Preprocessing(
        stored_size=SIZE,
        input_size=SIZE,
        mean=np.zeros(3),
        resize=resize,
        interpolation="cubic",
    )
    return Predictor(
        "somewhere", net, {}, preprocessing, ("a", "b"), make_mesh(net, 1), config=config
    )


def by_name(source):
    return {source.name(i): source[i]["image"] for i in range(len(source))}


def test_every_mode_and_shape_is_resized_as_its_rgb_pixels_are(folder):
    root, pixels = folder
    for name, expected in pixels.items():
        picture = open_rgb(root / name, name)[0]
        np.testing.assert_array_equal(np.asarray(picture), expected, name)
        difference = RULES["crop"](picture, SIZE).astype(int) - torchvision_crop(picture, SIZE)
        assert abs(difference).max() <= 1, name


def test_runs_records_predictions_evaluation_features_and_the_library_see_equal_pixels(
    folder, tmp_path
):
    root, pixels = folder
    data = open_data(root, "auto", SIZE)  # of a run
    images = by_name(data.train) | by_name(data.test)
    assert images.keys() == pixels.keys()

    prepare(PrepareOptions(source=root, out=tmp_path / "records", size=SIZE))
    records = open_data(tmp_path / "records", "auto", SIZE)
    recorded = by_name(records.train) | by_name(records.test)

    predictor = make_predictor()
    run = make_predictor(config=Config().replace(data=root))
    paths = [root / name for name in pixels]
    [(_, predicted)] = read_batches(
        paths, SIZE, batch_size=len(paths), threads=1, resize=predictor.resize
    )
    evaluated = by_name(evaluation_data.open_for(predictor, None, root).test)
    evaluated_run = by_name(evaluation_data.open_for(run, run, None).test)
    assert evaluated_run.keys() == by_name(data.test).keys()
    opened = labeled_images.open_folder(root, predictor)
    features = {name: opened.read(i).image for i, name in enumerate(opened.names)}

    for name, image, in_batch in zip(
        pixels, map(images.__getitem__, pixels), predicted, strict=True
    ):
        jpeg = io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=95)
        np.testing.assert_array_equal(recorded[name], np.asarray(Image.open(jpeg)), name)
        for other in (in_batch, evaluated[name], evaluated_run.get(name, image), features[name]):
            np.testing.assert_array_equal(image, other, name)


@pytest.mark.parametrize("mode", ["RGB", "turned"])
def test_the_librarys_preprocessing_sees_the_pixels_of_a_runs_files(folder, mode):
    root, pixels = folder
    images, predictor = by_name(open_data(root, "auto", SIZE).train), make_predictor()
    for name in sorted(images):
        if name[2:].startswith(mode + "-"):
            ours = predictor.preprocessing(pixels[name][None])[0]
            assert abs(np.asarray(ours) - images[name]).max() <= 1, name


@pytest.mark.parametrize("sides", [(61, 40), (40, 61), (35, 60), (30, 24), (15, 20)])
def test_older_runs_keep_their_rule(sides, rng):
    picture = Image.fromarray(rng.integers(0, 256, (*sides[::-1], 3), np.uint8))
    short = min(sides)
    left, top = ((side - short) // 2 for side in sides)
    box = (left, top, left + short, top + short)
    expected = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
    np.testing.assert_array_equal(RULES["central-square"](picture, SIZE), np.asarray(expected))


def test_a_run_takes_records_by_the_rule_that_made_them_and_refuses_another(folder, tmp_path):
    root, out = folder[0], tmp_path / "records"
    prepare(PrepareOptions(source=root, out=out, size=SIZE, resize="squash"))
    config = Config().replace(data=out)
    assert stored_resize(config) == "squash"
    assert stored_resize(config.replace(resize="central-square")) == "central-square"  # an old run
    with pytest.raises(BadInput, match="records made by the rule squash, and `resize` is crop"):
        stored_resize(config.replace(resize="crop"))
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    for settings, rule in (
        ({"resize": "crop"}, "central-square"),  # as manifests were until November 2026
        ({"resize": "crop", "crop": "after resizing, as torchvision does"}, "crop"),
    ):
        path.write_text(json.dumps(manifest | {"settings": manifest["settings"] | settings}))
        assert stored_resize(config) == rule
    assert stored_resize(Config().replace(data=root)) == "crop"
    assert stored_resize(Config().replace(data=root, resize="squash")) == "squash"


def test_records_of_another_rule_than_a_runs_are_evaluated_with_a_note(folder, tmp_path, capsys):
    out = tmp_path / "records"
    prepare(PrepareOptions(source=folder[0], out=out, size=SIZE, resize="squash"))
    capsys.readouterr()
    run = make_predictor(config=Config())
    evaluation_data.open_for(run, run, out)
    note = f"note: the images in {out} are stored, and not resized by the rule of somewhere, but"
    assert capsys.readouterr().err == f"{note} by squash\n"
    same = dataclasses.replace(run, preprocessing=make_predictor("both sides").preprocessing)
    evaluation_data.open_for(same, same, out)
    assert capsys.readouterr().err == ""
