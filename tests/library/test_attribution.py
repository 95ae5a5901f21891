"""Saliency, occlusion and class images against the loops of tests.support.reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax import visualize
from tests.support import reference
from tests.support.tiny import TINY, draw_params


@pytest.fixture(scope="module")
def params():
    return draw_params(TINY)


@pytest.fixture
def images(rng):
    return jnp.asarray(60 * rng.normal(size=(2, 14, 14, 3)), jnp.float32)


def test_saliency_is_the_largest_change_of_the_classs_logit_by_a_color(params, images):
    classes = jnp.array([3, 5])
    saliency = functools.partial(visualize.saliency, architecture=TINY)
    maps = jax.jit(saliency)(params, images, classes)
    assert maps.shape == (2, 14, 14)
    exact = np.asarray(images, np.float64)
    for image, row, column in ((0, 4, 5), (0, 9, 9), (1, 7, 2)):
        slopes = []
        for color in range(3):
            logits = []
            for shift in (1e-3, -1e-3):
                moved = exact[image : image + 1].copy()
                moved[0, row, column, color] += shift
                logits.append(reference.tiny_logits(params, moved)[0, classes[image]])
            slopes.append(abs(logits[0] - logits[1]) / 2e-3)
        assert maps[image, row, column] == pytest.approx(max(slopes), rel=1e-2, abs=1e-6)


def test_occlusion_is_the_probability_with_each_square_covered(params, images):
    maps = visualize.occlusion(params, images[0], 3, size=5, stride=3, architecture=TINY)
    assert maps.shape == (4, 4)  # corners at 0, 3, 6 and 9 of 14 pixels
    for i in range(4):
        for j in range(4):
            covered = np.asarray(images[:1], np.float64).copy()
            covered[0, 3 * i : 3 * i + 5, 3 * j : 3 * j + 5] = 0
            logits = reference.tiny_logits(params, covered)[0]
            powers = np.exp(logits - logits.max())
            assert maps[i, j] == pytest.approx(powers[3] / powers.sum(), rel=1e-3, abs=1e-5)


def test_class_images_excite_their_classes(params):
    classes, key = jnp.arange(7), jax.random.key(0)

    def after(steps, **rates):
        return visualize.class_images(params, classes, key, architecture=TINY, steps=steps, **rates)

    images, noise = after(20, rate=0.5, decay=0.0), after(0)
    assert images.shape == (7, 14, 14, 3)
    logits = np.asarray(alexnet_jax.apply(params, images, architecture=TINY))
    noise_logits = np.asarray(alexnet_jax.apply(params, noise, architecture=TINY))
    assert (logits.diagonal() > noise_logits.diagonal()).all()
    assert (logits.diagonal() == logits.max(axis=0)).all()  # no other image excites a class more
    step = after(1, rate=4.0, decay=0.5) - 0.5 * noise
    np.testing.assert_allclose(np.sqrt((step**2).mean(axis=(1, 2, 3))), 4, rtol=1e-3)


def test_the_score_of_a_layers_map_is_its_mean_on_images_of_any_size(params, rng):
    images = jnp.asarray(60 * rng.normal(size=(1, 17, 21, 3)), jnp.float32)
    options = {"layer": "relu3", "architecture": TINY}
    saliency = jax.jit(functools.partial(visualize.saliency, **options))
    maps = saliency(params, images, jnp.array([2]))
    assert maps.shape == (1, 17, 21)

    def score(pixels):
        return reference.tiny_maps(params, pixels)["relu3"][0, ..., 2].mean()

    exact = np.asarray(images, np.float64)
    for row, column in ((8, 9), (3, 15)):
        slopes = []
        for color in range(3):
            step = np.zeros_like(exact)
            step[0, row, column, color] = 1e-3
            slopes.append(abs(score(exact + step) - score(exact - step)) / 2e-3)
        assert maps[0, row, column] == pytest.approx(max(slopes), rel=1e-2, abs=1e-6)

    occluded = visualize.occlusion(params, images[0], 2, size=9, stride=6, **options)
    assert occluded.shape == (2, 3)  # corners at 0 and 6 of 17 rows, at 0, 6 and 12 of 21 columns
    covered = exact.copy()
    covered[0, 6:15, 12:21] = 0
    assert occluded[1, 2] == pytest.approx(score(covered), rel=1e-3)


def test_class_images_excite_a_map_of_a_layer_at_another_size(params):
    classes, key = jnp.arange(2), jax.random.key(0)
    options = {"layer": "conv3", "image_size": (16, 20), "architecture": TINY}
    images = visualize.class_images(params, classes, key, steps=10, decay=0.0, **options)
    assert images.shape == (2, 16, 20, 3)
    means = reference.tiny_maps(params, images)["relu3"].mean(axis=(1, 2))
    assert means[0, 0] > means[1, 0]
    assert means[1, 1] > means[0, 1]
