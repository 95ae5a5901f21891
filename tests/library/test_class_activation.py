"""Grad-CAM against finite differences of the NumPy reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alexnet_jax import visualize
from tests.support import reference
from tests.support.tiny import TINY, draw_params


def test_a_map_is_weighted_by_the_mean_of_the_slopes_of_the_classs_logit(rng):
    params = draw_params(TINY)
    images = jnp.asarray(60 * rng.normal(size=(2, 14, 14, 3)), jnp.float32)
    classes = jnp.array([5, 2])
    maps = reference.tiny_activations(params, images)["relu4"]
    expected = []
    for image, label in enumerate(classes.tolist()):
        total = np.zeros(maps.shape[1:3])
        for m in range(maps.shape[-1]):
            slopes = []
            for row, column in np.ndindex(maps.shape[1:3]):
                logits = []
                for shift in (1e-4, -1e-4):
                    moved = maps[image : image + 1].copy()
                    moved[0, row, column, m] += shift
                    logits.append(reference.tiny_tail(params, moved)["fc8"][0, label])
                slopes.append((logits[0] - logits[1]) / 2e-4)
            total += np.mean(slopes) * maps[image, :, :, m]
        expected.append(np.maximum(total, 0))
    assert np.max(expected, axis=(1, 2)).all()  # there is something to compare
    grad_cam = jax.jit(functools.partial(visualize.grad_cam, architecture=TINY))
    np.testing.assert_allclose(grad_cam(params, images, classes), expected, rtol=1e-3, atol=1e-5)


def test_a_layer_without_maps_or_of_another_name_is_refused():
    params, images = draw_params(TINY), jnp.zeros((1, 14, 14, 3))
    for layer, words in (("relu6", "relu6 has no maps, but 32 features"), ("relu5", "no layer")):
        with pytest.raises(ValueError, match=words):
            visualize.grad_cam(params, images, jnp.array([0]), layer=layer, architecture=TINY)
