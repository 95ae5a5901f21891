"""Crops, averaged predictions and top-k misses, against windows and means in plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import evaluation
from tests.support import reference


@pytest.mark.parametrize(("height", "width", "size"), [(7, 7, 4), (6, 9, 4), (5, 5, 5)])
def test_ten_crops_are_the_five_windows_of_section_4_1_and_their_flips(rng, height, width, size):
    images = rng.normal(size=(2, height, width, 3)).astype(np.float32)
    ours = np.asarray(evaluation.ten_crops(jnp.asarray(images), size))
    assert ours.shape == (2, 10, size, size, 3)
    for image, crops in zip(images, ours):
        top_left = image[:size, :size]
        top_right = image[:size, -size:]
        row, column = (height - size) // 2, (width - size) // 2
        center = image[row : row + size, column : column + size]
        bottom_left = image[-size:, :size]
        bottom_right = image[-size:, -size:]
        windows = [top_left, top_right, center, bottom_left, bottom_right]
        np.testing.assert_array_equal(crops, windows + [np.fliplr(w) for w in windows])
    np.testing.assert_array_equal(
        evaluation.center_crops(jnp.asarray(images), size), ours[:, evaluation.CENTER]
    )


def test_no_crop_is_cut_out_of_smaller_images():
    for crops in (evaluation.center_crops, evaluation.ten_crops):
        with pytest.raises(ValueError, match="no 8 x 8 pixels can be cut out of images of 9 x 7"):
            crops(jnp.zeros((1, 9, 7, 3)), 8)
        with pytest.raises(ValueError, match=r"\[n, height, width, 3\], not \[9, 9, 3\]"):
            crops(jnp.zeros((9, 9, 3)), 8)


def test_predictions_are_averaged_as_probabilities_over_crops_and_over_nets(rng):
    logits = 3 * rng.normal(size=(3, 5, 10, 7))  # nets, images, crops, classes
    expected = np.zeros((5, 7))
    for net in range(3):
        for crop in range(10):
            exponentials = np.exp(logits[net, :, crop])
            expected += exponentials / exponentials.sum(axis=-1, keepdims=True) / 30
    over_crops = evaluation.average_predictions(jnp.asarray(logits, jnp.float32), axis=2)
    ours = evaluation.average_predictions(over_crops, axis=0)
    np.testing.assert_allclose(np.exp(ours), expected, rtol=1e-5)


def test_probabilities_too_small_for_a_float_keep_their_order():
    logits = jnp.array([[[0.0, -200.0, -300.0, -250.0], [0.0, -210.0, -310.0, -240.0]]])
    ours = np.asarray(evaluation.average_predictions(logits, axis=1))[0]
    assert np.argsort(-ours).tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_errors_equal_a_sort_by_hand_ties_included(rng, k):
    logits = rng.integers(0, 4, (200, 7)).astype(np.float32)  # many equal logits
    labels = rng.integers(0, 7, 200)
    ours = evaluation.top_k_misses(jnp.asarray(logits), jnp.asarray(labels), k)
    assert int(ours.sum()) == reference.top_k_misses(logits, labels, k)


def test_with_fewer_than_five_classes_top_5_misses_nothing():
    assert not evaluation.top_k_misses(jnp.zeros((3, 2)), jnp.array([0, 1, 1]), 5).any()


@pytest.mark.parametrize(
    "labels", [np.arange(4)[:, None], np.array([0]), np.eye(4, dtype=int), 2], ids=str
)
def test_labels_of_another_shape_are_refused_and_not_broadcast(labels):
    with pytest.raises(ValueError, match=r"labels must be \[4\], a class for each row of logits"):
        evaluation.top_k_misses(jnp.eye(4), labels, 1)
    assert not evaluation.top_k_misses(jnp.eye(4), [0, 1, 2, 3], 1).any()


@pytest.mark.parametrize("size", [0, -5, 24.0])
def test_a_crop_has_a_whole_number_of_pixels(size):
    for crops in (evaluation.center_crops, evaluation.ten_crops):
        with pytest.raises(ValueError, match="size must be a whole number above 0, not"):
            crops(jnp.zeros((2, 30, 40, 3)), size)
