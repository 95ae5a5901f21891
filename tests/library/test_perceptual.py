"""LPIPS beside the package's own numbers, which tests.support.lpips_cases obtained from it."""

import dataclasses
import functools
import hashlib
import json
import shutil
import sys
import zipfile
from importlib.machinery import ModuleSpec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from alexnet_jax import perceptual
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.layer_specs import Flatten, Output
from alexnet_jax.params import Layer
from tests.support import lpips_cases, reference
from tests.support.tiny import draw_params, narrow

# torchvision's convolutions with one class: its dense layers, 58 million weights, are not compared.
HEAD = next(i for i, spec in enumerate(TORCHVISION.layers) if isinstance(spec, Flatten)) + 1
NET = dataclasses.replace(TORCHVISION, layers=(*TORCHVISION.layers[:HEAD], Output("fc6", 1)))
EXPECTED = json.loads(lpips_cases.EXPECTED.read_text())


@pytest.fixture(scope="module")
def params():
    layers = lpips_cases.convolutions()
    params = {
        f"conv{i}": Layer(jnp.asarray(kernels.transpose(2, 3, 1, 0)), jnp.asarray(biases))
        for i, (kernels, biases) in enumerate(layers, 1)
    }
    return params | {"fc6": Layer(jnp.zeros((9216, 1)), jnp.zeros(1))}


@pytest.fixture(scope="module")
def linear():
    return perceptual.load_linear(lpips_cases.LINEAR)


def distance(params, linear, a, b, **options):
    return perceptual.lpips(params, linear, a, b, architecture=NET, **options)


def outputs(params, linear, a, b):
    """Distances, unweighted distances, maps, and the gradient of the sum by `a`."""

    def total(a):
        return distance(params, linear, a, b).sum()

    maps = distance(params, linear, a, b, spatial=True)
    return distance(params, linear, a, b), distance(params, None, a, b), maps, jax.grad(total)(a)


def check(size, arrays, tolerance):
    expected = EXPECTED["x".join(map(str, size))]
    distances, unweighted, maps, gradient = map(np.asarray, arrays)
    assert (maps.shape, gradient.shape) == ((2, *size), (2, *size, 3))
    np.testing.assert_allclose(distances, expected["distances"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(unweighted, expected["unweighted"], rtol=0, atol=3 * tolerance)
    columns = lpips_cases.COLUMNS
    np.testing.assert_allclose(maps[:, columns, columns], expected["maps"], atol=10 * tolerance)
    slopes = np.asarray(expected["gradient"])
    close = {"rtol": 0, "atol": 100 * tolerance * np.abs(slopes).max()}
    np.testing.assert_allclose(gradient[:, columns, columns], slopes, **close)


def test_distances_maps_and_gradients_are_those_of_the_package(params, linear, pair):
    check(lpips_cases.SIZES[0], jax.jit(outputs)(params, linear, *pair), 1e-6)


def test_they_agree_to_nine_digits_in_float64_on_images_that_are_not_square(params, linear):
    """In float32 some ReLU of a smooth image opens the other way, which moves its gradient."""
    size = lpips_cases.SIZES[1]
    with reference.enable_x64(True):
        wide = [jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), params), linear]
        images = [jnp.asarray(images, "float64") for images in lpips_cases.image_pairs(*size)]
        check(size, jax.jit(outputs)(*wide, *images), 1e-9)


@pytest.fixture(scope="module")
def pair():
    a, b = lpips_cases.image_pairs(*lpips_cases.SIZES[0])
    return jnp.asarray(a), jnp.asarray(b)


def test_a_range_of_values_a_single_image_and_the_order_change_nothing(params, linear, pair):
    a, b = pair
    expected = EXPECTED["64x64"]["distances"]
    pixels = [127.5 * (images + 1) for images in pair]
    of_pixels = jax.jit(functools.partial(distance, value_range=(0, 255)))
    [from_one, _] = of_pixels(params, linear, pixels[0][:1], pixels[1])
    assert from_one == pytest.approx(expected[0], abs=3e-6)  # the conversion rounds
    jitted = jax.jit(distance)
    np.testing.assert_allclose(jitted(params, linear, b, a), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(jitted(params, linear, a, a), [0, 0], rtol=0, atol=1e-9)


def test_the_gradient_at_black_images_and_dead_maps_is_finite(params, linear, pair):
    """The square root of 0 has an infinite slope, and 0 times infinity is no number."""
    dead = jax.tree.map(lambda leaf: 0 * leaf, params)
    black = -jnp.ones_like(pair[0])
    gradient = jax.jit(jax.grad(lambda params, a, b: distance(params, linear, a, b).sum(), 1))
    for weights, a in ((params, black), (dead, pair[0])):
        for b in (pair[1], black):
            assert np.isfinite(gradient(weights, a, b)).all()
    assert np.abs(gradient(params, black, pair[1])).max() > 0


def test_linear_weights_are_read_from_a_wheel_and_from_a_package_that_is_not_imported(
    tmp_path, monkeypatch
):
    name = "lpips/weights/v0.1/alex.pth"
    with zipfile.ZipFile(tmp_path / "lpips.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.write(lpips_cases.LINEAR, name)
    with zipfile.ZipFile(tmp_path / "lpips.whl") as wheel:
        wheel.extractall(tmp_path)
    spec = ModuleSpec("lpips", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "lpips")]
    monkeypatch.setattr("importlib.util.find_spec", {"lpips": spec}.get)
    for path in (lpips_cases.LINEAR, tmp_path / "lpips.whl", None):
        linear = perceptual.load_linear(path)
        assert [*linear] == [*perceptual.LAYERS]
        for weights, expected in zip(linear.values(), lpips_cases.linear_weights(), strict=True):
            np.testing.assert_array_equal(weights, expected)
    assert "lpips" not in sys.modules


def test_without_the_package_linear_weights_come_from_the_cache_or_one_is_told_what_to_do(
    tmp_path, monkeypatch
):
    digest = hashlib.sha256(lpips_cases.LINEAR.read_bytes()).hexdigest()
    nowhere = ("http://127.0.0.1:9/alex.pth",)  # the port of "discard", where nobody listens
    file = perceptual.PUBLISHED.file._replace(digest=digest, addresses=nowhere)
    monkeypatch.setattr(perceptual, "PUBLISHED", perceptual.PUBLISHED._replace(file=file))
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    monkeypatch.setenv("ALEXNET_JAX_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"by hand, as .*lpips-alex\.pth"):
        perceptual.load_linear()
    shutil.copy(lpips_cases.LINEAR, tmp_path / "lpips-alex.pth")
    np.testing.assert_array_equal(
        perceptual.load_linear()["relu2"], lpips_cases.linear_weights()[1]
    )


def test_other_files_are_refused_in_one_sentence(tmp_path):
    data = lpips_cases.LINEAR.read_bytes()
    files = {"cut.pth": data[:3000], "empty.pth": b"", "text.pth": b"no weights", "a.whl": b"PK"}
    files["other.pth"] = data.replace(b"lin4.model", b"lin9.model")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} holds no weights of LPIPS for AlexNet: "):
            perceptual.load_linear(tmp_path / name)
    with pytest.raises(ValueError, match=r"it has no lin4\.model\.1\.weight"):
        perceptual.load_linear(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"a": np.zeros((2, 64, 64, 3), np.uint8)}, TypeError, "`a` must be floating, not uint8"),
        ({"b": np.zeros((64, 64, 3))}, ValueError, r"`b` must be \[n, height, width, 3\], not"),
        ({"b": np.zeros((2, 64, 65, 3))}, ValueError, "`a` and `b` must match, not"),
        ({"b": np.zeros((3, 64, 64, 3))}, ValueError, "`a` and `b` must match, not"),
        ({"value_range": (255, 0)}, ValueError, "`value_range` must be black below white"),
        ({"value_range": 255}, ValueError, r"`value_range` must be .* as \(0, 255\), not 255"),
        ({"value_range": (0, 1, 2)}, ValueError, "`value_range` must be the values of black and"),
        ({"value_range": (0, np.inf)}, ValueError, "`value_range` must be black below white"),
        ({"linear": [np.ones(64)]}, ValueError, "`linear` must be weights by layer .* not list"),
        ({"a": [[1.0], [1.0, 2.0]]}, ValueError, r"`a` must be an array \[n, .*\], not list"),
        ({"b": "cat.jpg"}, ValueError, r"`b` must be an array \[n, .*\], not str"),
        ({"linear": {"relu1": np.ones(3)}}, ValueError, r"\[3\] weights for relu1, which has 64"),
        ({"linear": {}}, ValueError, "`linear` has no layers"),
        ({"linear": {"relu9": np.ones(3)}}, ValueError, "has no layer 'relu9'"),
    ],
)
def test_images_and_weights_that_do_not_fit_are_refused(params, linear, pair, change, error, words):
    arguments = {"params": params, "linear": linear, "a": pair[0], "b": pair[1]}
    with pytest.raises(error, match=words):
        distance(**arguments | change)


def test_images_may_be_lists():
    net, images = narrow(TORCHVISION), np.linspace(-1, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)
    params = draw_params(net)

    def lpips(a, b):
        return perceptual.lpips(params, None, a, b, architecture=net)

    np.testing.assert_array_equal(
        lpips(images.tolist(), (-images).tolist()), lpips(images, -images)
    )


def ellipses(rng):
    """A picture of 224 pixels with forty ellipses, in color."""
    picture = Image.new("RGB", (224, 224))
    for _ in range(40):
        left, top, width, height = rng.integers(10, 180, 4)
        box = (left, top, left + width // 3, top + height // 3)
        ImageDraw.Draw(picture).ellipse(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


def test_the_distance_of_a_picture_grows_with_its_blur(rng):
    net = narrow(TORCHVISION)
    sharp = ellipses(rng)
    blurred = [sharp.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 3, 9)]
    pixels = np.stack([np.asarray(x, np.float32) for x in blurred])
    options = {"value_range": (0, 255), "architecture": net}
    lpips = jax.jit(functools.partial(perceptual.lpips, **options))
    distances = lpips(draw_params(net), None, pixels[:1], pixels)
    assert distances[0] < 1e-6  # rounding: images of a batch are computed apart
    assert (np.diff(distances) > 0).all()
