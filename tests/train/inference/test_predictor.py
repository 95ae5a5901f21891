"""Files of weights where a run is taken: their preprocessing, their classes, their predictions."""

import csv
import functools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from alexnet_jax import Preprocessing, evaluation, weights
from alexnet_jax.architectures import DIGITS
from tests.support.runs import write_initial_run, write_noise_pictures
from tests.support.tiny import draw_params
from train import evaluate, predict
from train.config.errors import BadInput
from train.data.dataset import DIGITS as DIGITS_FOLDER
from train.data.formats import idx
from train.data.formats.image_resize import ResizeRule
from train.inference import prediction_table
from train.inference.ensemble import open_test_images
from train.inference.evaluation_data import relabel
from train.inference.predictor import Predictor, open_predictor

NET = DIGITS.with_classes(3)
RULE = Preprocessing(
    stored_size=28,
    input_size=24,
    mean=[0.5, 0.4, 0.3],
    scale=1 / 255,
    std=(0.2, 0.25, 0.3),
    resize="both sides",
)
NAMES = ("ant, emmet", "bee", "wild cat, cat")


@functools.cache
def apply():
    return jax.jit(functools.partial(alexnet_jax.apply, architecture=NET))


@pytest.fixture(scope="module")
def params():
    params = draw_params(NET)
    return params | {"conv1": params["conv1"]._replace(weights=40 * params["conv1"].weights)}


@pytest.fixture(scope="module")
def file(params, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "net.safetensors"
    alexnet_jax.save(path, params, NET, RULE, NAMES)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise pictures of 30 x 20 pixels in folders that are called as the classes are."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for name in ("Wild_Cat", "ant", "bee"):
        (root / name).mkdir()
        for i in range(4):
            noise = rng.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(noise).save(root / name / f"{i}.png")
    return root


def as_array(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def logits(params, path):
    """By the library alone, which resizes without Pillow: to a level of 255."""
    return np.asarray(apply()(params, RULE(as_array(path)[None]))[0], np.float64)


@pytest.mark.parametrize("resize", ["shorter side", "both sides", "central square"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_pictures_are_resized_as_the_weights_preprocessing_does(resize, interpolation, rng):
    options = {"resize": resize, "interpolation": interpolation, "mean": np.zeros(3)}
    rule = Preprocessing(stored_size=17, input_size=17, **options)
    for size in ((17, 17), (40, 23), (9, 61), (200, 3)):
        picture = rng.integers(0, 256, (*size, 3), np.uint8)
        ours = ResizeRule(resize, interpolation)(Image.fromarray(picture), 17)
        assert ours.shape == (17, 17, 3)
        difference = np.abs(np.asarray(rule(picture[None])[0]) - ours)
        assert difference.max() <= 1, size


def test_logits_of_a_file_are_those_of_its_own_scale_mean_and_crops(params, file, rng):
    predictor = open_predictor(str(file))
    assert (predictor.step, predictor.stored_size, predictor.input_size) == (None, 28, 24)
    assert predictor.title == "DIGITS, net.safetensors"
    images = rng.integers(0, 256, (2, 28, 28, 3), np.uint8)
    scaled = (images / 255 - RULE.mean) / np.array(RULE.std)
    crops = evaluation.ten_crops(jnp.asarray(scaled, jnp.float32), 24)
    expected = apply()(params, crops.reshape(20, 24, 24, 3)).reshape(2, 10, 3)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(
        predictor.eval_step(crops=10)(images), expected, rtol=1e-3, atol=1e-4 * largest
    )
    inputs = predictor.preprocess(images)
    np.testing.assert_allclose(inputs, scaled[:, 2:26, 2:26], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(predictor.to_pixels(inputs), images[:, 2:26, 2:26], atol=1e-3)


def test_predictions_are_the_softmax_of_the_librarys_logits_and_are_written_as_json_lines(
    params, file, pictures, tmp_path, capsys
):
    predict.main([str(file), str(pictures), "--out", str(tmp_path / "a.jsonl")])
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "a.jsonl")
    paths = sorted(pictures.rglob("*.png"))
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["picture"] for row in rows] == [str(path) for path in paths]
    truths = {"Wild_Cat": "wild cat, cat", "ant": "ant, emmet", "bee": "bee"}
    for path, row in zip(paths, rows):
        powers = np.exp(logits(params, path))
        top = np.argsort(-powers)
        assert row["truth"] == truths[path.parent.name]
        assert [one["rank"] for one in row["predictions"]] == [1, 2, 3]
        assert [one["class"] for one in row["predictions"]] == [NAMES[i] for i in top]
        found = [one["probability"] for one in row["predictions"]]
        np.testing.assert_allclose(found, powers[top] / powers.sum(), atol=0.02)


def test_the_truth_of_a_linked_picture_is_the_folder_in_which_the_link_lies(
    file, pictures, tmp_path, monkeypatch
):
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "link.png").symlink_to(pictures / "bee" / "0.png")
    monkeypatch.chdir(tmp_path / "ant")
    predict.main([str(file), "link.png", "--out", "a.jsonl"])
    assert json.loads((tmp_path / "ant" / "a.jsonl").read_text())["truth"] == "ant, emmet"


def test_a_csv_file_has_a_row_for_each_class_of_a_picture_and_any_file_name(tmp_path):
    prediction = {
        "path": os.fsdecode(b'a "caf\xe9", 1.png'),
        "truth": None,
        "names": ["n02012849", "n03126707"],
        "classes": ["crane", "crane"],
        "probabilities": [0.75, 0.1],
    }
    with prediction_table.open_table(tmp_path / "a.csv") as write:
        write(prediction)
    with (tmp_path / "a.csv").open(errors="surrogateescape", newline="") as opened:
        first, second = csv.DictReader(opened)
    assert [*first.values()] == [prediction["path"], "", "1", "n02012849", "crane", "0.75"]
    assert [*second.values()] == [prediction["path"], "", "2", "n03126707", "crane", "0.1"]
    assert [*first] == ["picture", "truth", "rank", "class", "label", "probability"]


def test_a_probability_that_is_not_a_number_is_null_or_empty(tmp_path):
    nan = float("nan")
    prediction = {"path": "a.png", "truth": None, "names": ["ant", "bee"]}
    prediction |= {"classes": ["ant", "bee"], "probabilities": [nan, 0.5]}
    for name in ("a.csv", "a.jsonl"):
        with prediction_table.open_table(tmp_path / name) as write:
            write(prediction)
    [text] = (tmp_path / "a.jsonl").read_text().splitlines()
    row = json.loads(text, parse_constant=pytest.fail)
    assert [ranked["probability"] for ranked in row["predictions"]] == [None, 0.5]
    with (tmp_path / "a.csv").open(newline="") as opened:
        assert [ranked["probability"] for ranked in csv.DictReader(opened)] == ["", "0.5"]


def test_a_table_that_is_not_completed_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("before")
    with pytest.raises(KeyboardInterrupt), prediction_table.open_table(tmp_path / "a.csv"):
        raise KeyboardInterrupt
    assert (tmp_path / "a.csv").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_is_evaluated_on_all_pictures_whose_folders_are_called_as_its_classes(
    params, file, pictures, tmp_path, capsys
):
    evaluate.main([str(file), "--data", str(pictures), "--json", str(tmp_path / "a.json")])
    labels = {"ant": 0, "bee": 1, "Wild_Cat": 2}
    wrong = [
        logits(params, path).argmax() != labels[path.parent.name]
        for path in pictures.rglob("*.png")
    ]
    results = json.loads((tmp_path / "a.json").read_text())
    assert results["images"] == len(wrong) == 12
    assert results["errors"][0]["top1_error"] == pytest.approx(np.mean(wrong))
    assert str(file) in capsys.readouterr().out


def test_a_run_and_its_converted_file_are_the_same_network(data_and_run, tmp_path):
    data, run = data_and_run
    loaded = weights.read(run)
    copy = tmp_path / "copy.safetensors"
    alexnet_jax.save(copy, *loaded[1:])
    evaluate.main([str(run), str(copy), "--json", str(tmp_path / "a.json")])
    rows = json.loads((tmp_path / "a.json").read_text())["errors"]
    assert [row["run"] for row in rows] == [str(run), str(copy), "mean of 2"]
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=0.01)
    [own, other] = open_test_images([open_predictor(run), open_predictor(copy)], data)
    assert own.files == other.files


def test_stored_images_are_taken_as_they_are_with_a_note(tmp_path, capsys):
    net = DIGITS.with_classes(10)
    alexnet_jax.save(tmp_path / "net", draw_params(net), net, RULE)
    predictor = open_predictor(tmp_path / "net")
    [source] = open_test_images([predictor], DIGITS_FOLDER)
    assert len(source) == 1000
    images, labels = idx.read_split(DIGITS_FOLDER, "test")
    np.testing.assert_array_equal(source[7]["image"][..., 1], images[7])
    assert source[7]["label"] == labels[7]
    note = f"note: the images in {DIGITS_FOLDER} are stored, and not resized by the rule of "
    assert capsys.readouterr().err == f"{note}{tmp_path / 'net'}\n"


@pytest.fixture(scope="module")
def data_and_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = write_noise_pictures(folder / "data", ("ant", "bee", "cat"))
    return data, write_initial_run(folder / "run", data=data)


class Data:
    """A data set with these classes."""

    def __init__(self, *class_names):
        self.class_names = class_names
        self.test = [{"image": None, "label": i} for i in range(len(class_names))]


@pytest.mark.parametrize(
    ("known", "classes", "labels"),
    [
        (NAMES, ("Emmet", "bee", "wild_cat"), [0, 1, 2]),
        (NAMES, ("cat", "ant"), [2, 0]),
        (NAMES, ("2", "0", "1"), [2, 0, 1]),
        (("n02", "n01", "x"), ("n01", "n02"), [1, 0]),
        (("0", "1", "2"), ("a", "b", "c"), [0, 1, 2]),
        (("0", "1", "2"), ("2", "1"), [2, 1]),
        (("crane, bird", "crane, machine"), ("machine", "bird"), [1, 0]),
        (("A", "B", "a"), ("A", "b"), [0, 1]),
        (("A", "B", "a"), ("a", "A"), [2, 0]),
        (("A_b", "C", "A b"), ("A_b", "C"), [0, 1]),
        (("A_b", "C", "A b"), ("a_b", "C"), "'a_b' is none of the classes of net, such as A_b"),
        (NAMES, ("ant", "cow"), "'cow' is none of the classes of net, such as ant, emmet"),
        (NAMES, ("ant", "emmet"), "its 2 classes are not as many of those of net, such as"),
        (NAMES, ("7", "1"), "its 2 classes are not as many"),
        (("0", "1", "2"), ("a", "b"), "'a' is none of the classes of net, 3 without"),
        (("crane, bird", "crane, machine"), ("crane", "bird"), "'crane' is none of the classes"),
    ],
)
def test_classes_are_matched_by_name_then_by_number(known, classes, labels):
    predictor = Predictor("net", NET, {}, RULE, known, None)
    if isinstance(labels, str):
        with pytest.raises(BadInput, match=labels):
            relabel(predictor, Data(*classes))
    else:
        source = relabel(predictor, Data(*classes))
        assert [source[i]["label"] for i in range(len(source))] == labels


def test_imagenets_classes_are_known_by_synset_and_described_by_their_words(tmp_path, monkeypatch):
    net = DIGITS.with_classes(1000)
    names = weights.imagenet.class_names()
    alexnet_jax.save(tmp_path / "net", draw_params(net), net, RULE, names)
    predictor = open_predictor(tmp_path / "net")
    assert predictor.class_label(388).startswith("giant panda, panda")
    for text in ("n02510455", "Giant_Panda", "388x", "crane"):
        expected = 388 if "anda" in text or text.startswith("n") else None
        assert predictor.class_index(text) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FILE"], "`data` is needed: .*net.safetensors is not a run"),
        (["RUN", "FILE"], "have different classes, 'ant' and 'ant, emmet'"),
        (["FILE", "--checkpoint", "3"], "`checkpoint` 3: .*net.safetensors is not the folder of"),
        (["FILE", "--data", "nowhere"], "`data` nowhere does not exist"),
        (["FILE", "--data", "RUN"], "holds no pictures|holds none of"),
        (["missing.pth", "--data", "DATA"], "missing.pth does not exist"),
        (["FILE", "--data", "DATA", "--devices", "3"], "`devices` 3: DIGITS: 2 towers need"),
    ],
)
def test_evaluate_refuses_what_a_file_of_weights_has_not(file, data_and_run, arguments, words):
    values = {"FILE": str(file), "DATA": str(data_and_run[0]), "RUN": str(data_and_run[1])}
    with pytest.raises(BadInput, match=words) as caught:
        evaluate.main([values.get(argument, argument) for argument in arguments])
    assert "\n" not in str(caught.value)


def test_predict_refuses_a_table_of_another_kind_before_it_reads_the_weights(pictures):
    with pytest.raises(BadInput, match=r"`out` a\.xlsx should end in \.csv or \.jsonl"):
        predict.main(["nowhere", str(pictures), "--out", "a.xlsx"])


def test_show_returns_a_drawing_that_a_notebook_displays(file, pictures):
    drawing = predict.show(file, pictures / "ant")
    assert drawing.mode == "RGB"
    assert len(drawing.getcolors(1 << 20)) > 100
