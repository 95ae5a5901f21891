"""Pictures of what a run's net looks at."""

import numpy as np
import pytest
from PIL import Image

from train.config import BadInput, Config
from train.explained import draw_class_images, draw_explanation
from train.trained import open_trained
from train.training import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("explained") / "run"
    train(Config(run_dir=run_dir, steps=20, batch_size=50))
    return open_trained(run_dir)


def colours_in(path):
    with Image.open(path) as picture:
        return len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))


def test_a_picture_and_the_classes_are_drawn(trained, tmp_path):
    Image.linear_gradient("L").save(tmp_path / "picture.png")
    path = draw_explanation(trained, tmp_path / "picture.png", tmp_path / "explained.png")
    assert path == tmp_path / "explained.png"
    assert colours_in(path) > 200
    assert colours_in(draw_class_images(trained, tmp_path / "classes.png", [3, 9])) > 200


def test_what_cannot_be_drawn_is_said_in_a_sentence(trained, tmp_path):
    with pytest.raises(BadInput, match=r"none\.png does not exist"):
        draw_explanation(trained, tmp_path / "none.png", tmp_path / "x.png")
    with pytest.raises(BadInput, match="has the classes 0 to 9, and not 10"):
        draw_class_images(trained, tmp_path / "x.png", [10])
