"""Figures that show photographs: where the crop is framed and maps lie; the confusion matrix."""

import numpy as np
import pytest
from matplotlib import image as images
from PIL import Image

import alexnet_jax
from tests.support.runs import write_initial_run, write_noise_pictures
from tests.support.tiny import TINY, draw_params
from train import predict
from train.config.errors import BadInput
from train.data.formats.image_resize import ResizeRule
from train.figures import __main__ as figures
from train.figures import page
from train.figures.confusion import count_pairs
from train.figures.photograph import Box, draw_map, draw_photograph, read_photograph


def save_coordinates(path, width, height):
    """Save a picture whose red is the column and whose green is the row."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("resize", ["shorter side", "both sides"])
@pytest.mark.parametrize("size", [(250, 140), (90, 200), (60, 60)])
def test_the_frame_is_around_what_the_network_sees(tmp_path, resize, size):
    path = tmp_path / "picture.png"
    save_coordinates(path, *size)
    rule = alexnet_jax.Preprocessing(
        stored_size=40, input_size=31, mean=np.zeros(3), resize=resize, interpolation="linear"
    )
    crop = np.asarray(rule(ResizeRule(resize, "linear")(Image.open(path), 40)[None])[0])
    box = read_photograph(path, rule).crop
    for number in (1, 29):  # of a pixel of the crop; 0 and 30 may touch the picture's border
        column, row = crop[number, number, :2] + 0.5  # where its center is in the picture
        left, top, width, height = box
        # A resized picture has whole pixels, the central ones of which are off by half a one.
        near = {"abs": 1 + 0.5 * max(width, height) / 31}
        assert column == pytest.approx(left + width * (number + 0.5) / 31, **near)
        assert row == pytest.approx(top + height * (number + 0.5) / 31, **near)


def test_a_map_is_drawn_over_the_frame_or_its_part_and_the_picture_is_not_cut(tmp_path):
    path = tmp_path / "picture.png"
    save_coordinates(path, 250, 140)
    rule = alexnet_jax.Preprocessing(stored_size=40, input_size=40, mean=np.zeros(3))
    photograph = read_photograph(path, rule)
    assert photograph.crop == (55, 0, 140, 140)
    axes = page.blank(2, 2).subplots()
    draw_photograph(axes, photograph)
    whole = draw_map(axes, photograph, np.eye(3))
    part = draw_map(axes, photograph, np.eye(3), Box(0.25, 0.5, 0.5, 0.25))
    assert isinstance(whole, images.AxesImage)
    assert whole.get_extent() == [55, 195, 140, 0]
    assert part.get_extent() == [90, 160, 105, 70]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 250), (140, 0))


def test_a_large_photograph_is_reduced_and_keeps_its_shape(tmp_path):
    path = tmp_path / "large.jpg"
    Image.new("RGB", (3000, 1500)).save(path)
    rule = alexnet_jax.Preprocessing(stored_size=40, input_size=20, mean=np.zeros(3))
    photograph = read_photograph(path, rule)
    assert photograph.pixels.shape == (320, 640, 3)
    assert photograph.crop == (240, 80, 160, 160)


def test_confusions_are_counted_by_class_and_prediction(rng):
    labels, predictions = rng.integers(0, 4, (2, 50))
    counts = count_pairs(labels, predictions, 5)
    for row in range(5):
        for column in range(5):
            pairs = zip(labels.tolist(), predictions.tolist(), strict=True)
            assert counts[row, column] == sum(pair == (row, column) for pair in pairs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise_pictures(tmp_path_factory.mktemp("data"), ("ant", "bee", "cat"), count=4)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return write_initial_run(tmp_path_factory.mktemp("runs") / "run", factor=2, data=data)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights whose input is on torchvision's scale."""
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    rule = alexnet_jax.Preprocessing(
        stored_size=16, input_size=14, mean=[0.4, 0.5, 0.6], scale=1 / 255, std=(0.2, 0.2, 0.3)
    )
    alexnet_jax.save(path, draw_params(TINY), TINY, rule)
    return path


def drawn_colors(path):
    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(1 << 20) or range(1 << 20))


def test_figures_of_a_picture_are_drawn_for_a_file_of_weights(weights, data, tmp_path):
    picture = data / "bee" / "0.png"
    for name in ("gradcam", "saliency"):
        path = tmp_path / f"{name}.png"
        figures.main([name, str(weights), str(picture), str(path)])
        assert drawn_colors(path) > 500


def test_the_confusion_matrix_is_drawn_of_a_runs_test_images_and_of_other_data(run, tmp_path):
    path = tmp_path / "confusion.png"
    figures.main(["confusion", str(run), str(path)])
    assert drawn_colors(path) > 20
    path.unlink()
    other = write_noise_pictures(tmp_path / "other", ("ant", "bee", "cat"), count=2)
    figures.main(["confusion", str(run), str(path), "--data", str(other)])
    assert drawn_colors(path) > 20


def test_a_layer_without_maps_is_refused(run, data, tmp_path):
    picture, path = data / "bee" / "0.png", tmp_path / "x.png"
    for layer, words in (("relu7", "relu7 has no maps"), ("relu9", "has no layer 'relu9'")):
        with pytest.raises(BadInput, match=f"`layer`: .*{words}"):
            figures.main(["gradcam", str(run), str(picture), str(path), "--layer", layer])
    assert not path.exists()


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A file of weights that are not numbers."""
    path = tmp_path_factory.mktemp("diverged") / "nan.safetensors"
    params = draw_params(TINY)
    params["fc6"] = params["fc6"]._replace(biases=np.nan * params["fc6"].biases)
    names = [*"abcd", "ant", "bee", "cat"]
    rule = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=np.zeros(3))
    alexnet_jax.save(path, params, TINY, rule, names)
    return path


def test_figures_of_outputs_that_are_not_numbers_are_refused(diverged, data, tmp_path):
    picture, path = str(data / "bee" / "0.png"), tmp_path / "x.png"
    for arguments in (
        ["gradcam", str(diverged), picture],
        ["saliency", str(diverged), picture],
        ["classes", str(diverged)],
        ["confusion", str(diverged), "--data", str(data)],
        ["neighbors", str(diverged), picture, str(data)],
    ):
        with pytest.raises(BadInput, match=r"nan\.safetensors: the network's outputs are not num"):
            figures.main([*arguments, str(path)])
        assert not path.exists()


def test_predict_says_that_outputs_are_not_numbers(diverged, data, tmp_path, capsys):
    predict.main([str(diverged), str(data / "bee"), "--figure", str(tmp_path / "x.png")])
    [line] = capsys.readouterr().err.splitlines()
    assert "the network's outputs are not numbers, but NaN or inf, for 4 of 4 pictures" in line
