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


def shape_of(function, params, images, classes, **options):
    """Trace a function with known classes, without computing anything."""
    options = {"architecture": TINY} | options
    if function is visualize.class_images:
        options = {"key": jax.random.key(0)} | options
        return jax.eval_shape(lambda params: function(params, classes, **options), params).shape
    if function is visualize.occlusion:
        options = {"size": 5, "stride": 3} | options
    return jax.eval_shape(
        lambda params, images: function(params, images, classes, **options), params, images
    ).shape


BATCHED = (visualize.saliency, visualize.grad_cam)


@pytest.mark.parametrize("bad", [7, -1, 2**40])
def test_a_class_that_the_network_does_not_have_is_refused(params, images, bad):
    words = f"must be from 0 to 6, not {bad}: TINY has 7 classes"
    for function in (*BATCHED, visualize.class_images):
        for classes in ([1, bad], bad):
            with pytest.raises(ValueError, match=f"`classes` {words}"):
                shape_of(function, params, images, classes)
    with pytest.raises(ValueError, match=f"`label` {words}"):
        shape_of(visualize.occlusion, params, images[0], bad)


def test_a_map_that_a_layer_does_not_have_is_refused(params, images):
    for bad in (8, -1):
        words = f"must be from 0 to 7, not {bad}: relu3 of TINY has 8"
        for function, inputs, classes in (
            (visualize.saliency, images, [1, bad]),
            (visualize.occlusion, images[0], bad),
            (visualize.class_images, None, [bad]),
        ):
            with pytest.raises(ValueError, match=words):
                shape_of(function, params, inputs, classes, layer="relu3")


def test_one_class_stands_for_all_images_and_lists_are_taken(params, images):
    options = {"layer": "conv1", "architecture": TINY}
    saliency = functools.partial(visualize.saliency, **options)
    expected = saliency(params, images, jnp.array([3, 3]))
    for classes in (3, jnp.array(3), [3, 3]):
        np.testing.assert_array_equal(saliency(params, images, classes), expected)
    np.testing.assert_array_equal(saliency(params, images.tolist(), 3), expected)
    np.testing.assert_allclose(jax.jit(saliency)(params, images, 3), expected, rtol=1e-5)
    assert shape_of(visualize.class_images, params, None, 1) == (1, 14, 14, 3)


@pytest.mark.parametrize("function", BATCHED)
@pytest.mark.parametrize(
    ("count", "classes", "words"),
    [
        (2, [1, 2, 3], "`classes` must be one number, or one for each .* 2, not 3"),
        (2, [1], "`classes` must be one number, .* not 1"),
        (2, [[1, 2]], r"`classes` must be one number, .* shape \[1, 2\]"),
        (2, [0.5, 1], "`classes` must be whole numbers, not float64"),
        (2, "cat", "`classes` must be whole numbers, not str"),
        (2, [[1], [1, 2]], "`classes` must be whole numbers"),
        (0, [1], r"`images` must be \[n, height, width, 3\], not \[14, 14, 3\]"),
    ],
)
def test_classes_and_images_that_do_not_fit_are_refused(
    params, images, function, count, classes, words
):
    with pytest.raises(ValueError, match=words):
        shape_of(function, params, images[:count] if count else images[0], classes)


@pytest.mark.parametrize(
    ("label", "options", "words"),
    [
        ([1, 2], {}, r"`label` must be one number, not an array of shape \[2\]"),
        (1.5, {}, "`label` must be whole numbers"),
        (1, {"stride": 0}, "`stride` must be a whole number above 0, not 0"),
        (1, {"size": 0}, "`size` must be a whole number above 0, not 0"),
        (1, {"size": -3}, "`size` must be a whole number above 0, not -3"),
        (1, {"size": 15}, "`size` 15 is larger than the image of 14 x 14 pixels"),
    ],
)
def test_arguments_of_occlusion_that_do_not_fit_are_refused(params, images, label, options, words):
    with pytest.raises(ValueError, match=words):
        shape_of(visualize.occlusion, params, images[0], label, **options)


def test_occlusion_of_a_batch_is_refused(params, images):
    with pytest.raises(ValueError, match=r"`image` must be one image, .* \[2, 14, 14, 3\]"):
        shape_of(visualize.occlusion, params, images, 1)


def test_arguments_of_class_images_that_do_not_fit_are_refused(params):
    for classes, options, words in (
        ([[1]], {}, r"`classes` must be \[n\], not an array of shape \[1, 1\]"),
        ([1], {"steps": -1}, "`steps` must be a whole number that is not negative, not -1"),
        ([1], {"image_size": (1, 2, 3)}, "`image_size` must be one number, or"),
        ([1], {"image_size": 0}, "`image_size` must be a whole number above 0, not 0"),
    ):
        with pytest.raises(ValueError, match=words):
            shape_of(visualize.class_images, params, None, classes, **options)


def test_ranks_need_no_promotion(params, images):
    with jax.numpy_rank_promotion("raise"):
        assert shape_of(visualize.occlusion, params, images[0], 3) == (4, 4)
        for function in (*BATCHED, visualize.class_images):
            shape_of(function, params, images, [1, 2])
