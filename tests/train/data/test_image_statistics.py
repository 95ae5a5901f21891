"""Mean and principal colors of the training images."""

import numpy as np
import pytest

from train.config.errors import BadInput
from train.data.dataset import open_data
from train.data.image_statistics import measure_statistics
from train.run_dir.folder import load_or_measure_statistics


def test_the_mean_image_is_the_mean_over_the_training_set(rng):
    images = rng.integers(0, 256, (30, 4, 4, 3), np.uint8)
    source = [{"image": image, "label": 0} for image in images]
    np.testing.assert_allclose(measure_statistics(source).mean, images.mean(axis=0), rtol=1e-6)
    first_and_last = measure_statistics(source, at_most=2).mean
    np.testing.assert_allclose(first_and_last, images[[0, 29]].mean(axis=0), rtol=1e-6)


def test_the_principal_colors_are_those_of_a_singular_value_decomposition(rng):
    mixed = rng.uniform(size=(3, 3)) * [60, 20, 5]  # correlates the colors
    images = np.clip(128 + rng.normal(size=(12, 9, 9, 3)) @ mixed.T, 0, 255).astype(np.uint8)
    statistics = measure_statistics([{"image": image, "label": 0} for image in images])

    pixels = images.reshape(-1, 3).astype(np.float64)
    _, singular, rows = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(statistics.variances, singular[::-1] ** 2 / len(pixels), rtol=1e-9)
    alignment = statistics.components.T @ rows[::-1].T  # the sign of an eigenvector is free
    np.testing.assert_allclose(np.abs(alignment), np.eye(3), atol=1e-7)


def test_gray_images_have_one_principal_color():
    data = open_data(None, "auto", 28)
    gray = measure_statistics(data.train, at_most=50)
    np.testing.assert_allclose(np.abs(gray.components[:, 2]), 3**-0.5, rtol=1e-9)
    assert gray.variances[2] > 1000
    assert np.all((gray.variances[:2] >= 0) & (gray.variances[:2] < 1e-9))


def test_a_run_saves_its_statistics_and_names_a_damaged_file_of_them(tmp_path):
    data = open_data(None, "auto", 12)
    measured = load_or_measure_statistics(tmp_path, data)
    for ours, saved in zip(measured, load_or_measure_statistics(tmp_path, data), strict=True):
        np.testing.assert_array_equal(ours, saved)
    np.save(tmp_path / "colours.npy", np.zeros((3, 3)))
    with pytest.raises(BadInput, match=r"colours.npy is not the color statistics of 4 x 3 finite"):
        load_or_measure_statistics(tmp_path, data)
