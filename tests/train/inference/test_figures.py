"""Figures of predictions, kernels and neighbors: their numbers, and the files written."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

import alexnet_jax
from tests.support.runs import write_initial_run, write_noise_pictures
from tests.support.tiny import TINY, draw_params
from train import predict
from train.config.errors import BadInput
from train.data.formats.image_resize import ResizeRule
from train.figures import __main__ as figures
from train.figures import page
from train.figures.kernels import mosaic
from train.figures.neighbors import nearest
from train.figures.predictions import Prediction, draw_bars, draw_predictions
from train.inference.image_files import find_pictures, read_batches
from train.inference.predictor import open_predictor


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise_pictures(tmp_path_factory.mktemp("data"), ("ant", "bee", "cat"), count=4)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run with weights large enough that noise pictures get different predictions."""
    return write_initial_run(tmp_path_factory.mktemp("runs") / "run", factor=2, data=data)


def colors_and_size(path):
    """The number of colors in a picture, and its size."""
    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(1 << 20) or range(1 << 20)), picture.size


def test_a_mosaic_holds_every_kernel_once_each_scaled_by_itself(rng):
    kernels = rng.normal(size=(3, 4, 3, 5)) * [1, 1e-6, 50, 1, 1]
    kernels[..., 4] = 0
    sheet = mosaic(kernels, 2)
    assert sheet.shape == (3 * 3 + 2, 2 * 4 + 1, 3)
    for number in range(5):
        top, left = 4 * (number // 2), 5 * (number % 2)
        for row in range(3):
            for column in range(4):
                for color in range(3):
                    w, largest = kernels[row, column, color, number], 0.0
                    for x in kernels[..., number].ravel():
                        largest = max(largest, abs(x))
                    expected = 0.5 + 0.5 * w / largest if largest else 0.5
                    assert sheet[top + row, left + column, color] == pytest.approx(expected)
    assert np.all(sheet[3] == 1)
    assert np.all(sheet[8:, 5:] == 1)


def test_kernels_are_drawn_for_each_tower(run, tmp_path, capsys):
    figures.main(["kernels", str(run), str(tmp_path / "kernels.png")])
    assert capsys.readouterr().out == f"{tmp_path / 'kernels.png'}\n"
    colors, (width, height) = colors_and_size(tmp_path / "kernels.png")
    assert colors > 500
    assert width > height


def test_kernels_of_a_file_of_weights_are_drawn_whatever_its_name(tmp_path):
    path, drawing = tmp_path / "$^$.safetensors", tmp_path / "kernels.png"
    preprocessing = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=np.zeros(3))
    alexnet_jax.save(path, draw_params(TINY), TINY, preprocessing)
    figures.main(["kernels", str(path), str(drawing)])
    assert colors_and_size(drawing)[0] > 100


def test_saliency_maps_and_images_of_classes_are_drawn(run, data, tmp_path, capsys):
    [picture, *_] = find_pictures([data / "bee"])
    for name, inputs in {"saliency": [str(picture), "--square", "9"], "classes": []}.items():
        path = tmp_path / f"{name}.png"
        figures.main([name, str(run), *inputs, str(path)])
        assert capsys.readouterr().out == f"{path}\n"
        assert colors_and_size(path)[0] > 500
    with pytest.raises(BadInput, match=r"none\.png does not exist"):
        figures.main(["saliency", str(run), "none.png", str(tmp_path / "x.png")])
    with pytest.raises(
        BadInput, match="`square` 25 is larger than the 24 pixels of the network's input"
    ):
        figures.main(["saliency", str(run), str(picture), str(path), "--square", "25"])


def test_neighbors_are_the_nearest_by_euclidean_distance_and_never_the_query_itself(data):
    def corner(images):
        return images[:, :3, :3, 0].reshape(len(images), -1)

    queries, gallery = find_pictures([data / "bee"]), find_pictures([data])
    options = {"size": 20, "batch_size": 5, "threads": 2, "resize": ResizeRule()}
    results = nearest(corner, read_batches(queries, **options), read_batches(gallery, **options), 3)
    corners = {}
    for path in gallery:
        corners[path] = np.asarray(Image.open(path))[:3, :3, 0].astype(float)
    assert [query for query, _ in results] == queries
    for query, neighbors in results:
        distances = []
        for path in gallery:
            if path != query:
                total = sum(
                    (a - b) ** 2 for a, b in zip(corners[query].ravel(), corners[path].ravel())
                )
                distances.append((total**0.5, path))
        assert neighbors == [(pytest.approx(d), p) for d, p in sorted(distances)[:3]]


def test_features_are_the_inputs_of_the_logits(run, data):
    predictor = open_predictor(run)
    options = {"batch_size": 1, "threads": 1, "resize": predictor.resize}
    [(_, images)] = read_batches([data / "ant" / "0.png"], 28, **options)
    features = np.asarray(predictor.extract_features()(images), np.float64)
    weights, biases = (np.asarray(x, np.float64) for x in predictor.params["fc8"])
    logits = 0.5 * features @ weights + biases  # dropout at test time
    np.testing.assert_allclose(logits, predictor.eval_step()(images)[:, 0], rtol=1e-4, atol=1e-4)
    assert predictor.last_hidden_layer == "relu7"


def test_neighbors_are_printed_and_drawn(run, data, tmp_path, capsys):
    arguments = [run, data / "ant" / "0.png", data, tmp_path / "near.png", "--nearest", 4]
    figures.main(["neighbors", *map(str, arguments)])
    query, *lines, figure = capsys.readouterr().out.splitlines()
    assert (query, figure) == (str(data / "ant" / "0.png"), str(tmp_path / "near.png"))
    distances = [float(line.split()[0]) for line in lines]
    assert len(distances) == 4
    assert distances == sorted(distances)
    assert min(distances) > 0
    assert colors_and_size(figure)[0] > 100


def test_predict_takes_folders_and_draws_its_pictures_with_bars(run, data, tmp_path, capsys):
    predict.main([str(run), str(data), "--figure", str(tmp_path / "predictions.png")])
    *lines, figure = capsys.readouterr().out.splitlines()
    assert lines[::4] == [str(path) for path in sorted(data.rglob("*.png"))]
    names = {line.split("%")[1].strip() for line in lines if line.startswith("  ")}
    assert names == {"ant", "bee", "cat"}
    for first in range(1, len(lines), 4):
        percents = [float(line.split()[0]) for line in lines[first : first + 3]]
        assert percents == sorted(percents, reverse=True)
        assert sum(percents) == pytest.approx(100, abs=0.02)
    assert colors_and_size(figure)[0] > 100


def test_names_are_drawn_literally_whatever_characters_they_contain(tmp_path):
    names = ["$\\bad$", "a_$1_$2.jpg", os.fsdecode(b"caf\xe9")]
    Image.new("RGB", (8, 8)).save(tmp_path / names[2], "PNG")
    prediction = Prediction(tmp_path / names[2], names, [0.5, 0.3, 0.2], None, None)
    preprocessing = alexnet_jax.Preprocessing(stored_size=8, input_size=6, mean=np.zeros(3))
    predictor = SimpleNamespace(title="a net", preprocessing=preprocessing)
    draw_predictions([prediction], predictor, tmp_path / "predictions.png")
    assert colors_and_size(tmp_path / "predictions.png")[0] > 20
    assert page.short("kit fox, Vulpes macrotis") == "kit fox"
    assert page.plain("ants, many.jpg") == "ants, many.jpg"
    assert len(page.short("a" * 40)) == 26


def test_of_two_classes_with_the_same_name_the_bar_of_the_right_one_is_red():
    """ImageNet has two cranes, the bird and the machine."""
    prediction = Prediction(Path("x.png"), ["crane", "crane"], [0.6, 0.4], "crane", 1)
    axes = page.blank(2, 2).subplots()
    draw_bars(axes, prediction)
    colors = [bar.get_facecolor() for bar in axes.patches]
    assert colors == [to_rgba("0.8"), to_rgba("#f08080")]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["crane", "60.0 %", "crane", "40.0 %"]


def test_a_class_is_shown_with_the_names_of_its_synset(run, data, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "run")
    record = json.loads((other / "config.json").read_text())
    record["data"]["words"] = {"ant": "ant, emmet, pismire"}
    (other / "config.json").write_text(json.dumps(record))
    predict.main([str(other), str(data / "bee" / "1.png")])
    output = capsys.readouterr().out
    assert "%  ant, emmet, pismire\n" in output
    assert "%  bee\n" in output


def test_of_several_pictures_broken_ones_are_named_and_left_out(run, data, tmp_path, capsys):
    write_noise_pictures(tmp_path / "in", ("x",), count=3)
    (tmp_path / "in" / "x" / "1.png").write_bytes(b"no picture")
    predict.main([str(run), str(tmp_path / "in")])
    out, err = capsys.readouterr()
    assert err == f"left out: {tmp_path / 'in' / 'x' / '1.png'} is not a picture\n"
    assert out.count(".png\n") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: FIGURE"),
        (["faces"], "invalid choice: 'faces'"),
        (["curves", "RUN"], "holds no metrics to draw"),
        (["kernels", "RUN", "x.bmp"], r"x.bmp should end in .png, .pdf or .svg"),
        (["kernels", "RUN", "nowhere/x.png"], "nowhere/x.png cannot be written: nowhere is not"),
        (["kernels", "nowhere", "x.png"], "nowhere is no file, no folder, and no name of"),
        (["kernels", "MEAN", "x.png"], r"mean\.npy: it is a plain array"),
        (["classes", "MEAN", "x.png"], r"mean\.npy: it is a plain array"),
        (["neighbors", "RUN", "EMPTY", "DATA", "x.png"], "holds no pictures"),
        (["neighbors", "RUN", "nowhere.png", "DATA", "x.png"], "nowhere.png does not exist"),
        (["neighbours", "RUN", "nowhere.png", "DATA", "x.png"], "nowhere.png does not exist"),
        (
            ["neighbors", "RUN", "DATA", "DATA", "x.png", "--nearest", "0"],
            "'0' is not a whole number above 0",
        ),
    ],
)
def test_invalid_arguments_of_figures_are_refused(
    run, data, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    values = {"RUN": str(run), "DATA": str(data), "EMPTY": str(tmp_path / "empty")}
    values["MEAN"] = str(run / "mean.npy")
    with pytest.raises(BadInput, match=words):
        figures.main([values.get(argument, argument) for argument in arguments])
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "nowhere.png"], "nowhere.png does not exist"),
        (["RUN", "DATA", "--figure", "x.gif"], "x.gif should end in"),
        (["RUN"], "the following arguments are required: PATH"),
    ],
)
def test_invalid_arguments_of_predict_are_refused(run, data, arguments, words):
    values = {"RUN": str(run), "DATA": str(data)}
    with pytest.raises(BadInput, match=words):
        predict.main([values.get(argument, argument) for argument in arguments])
