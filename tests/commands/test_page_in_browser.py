"""The page in headless Chromium: its numbers are JAX's, and a mouse and a finger draw on it.

Needs Chromium, the package playwright, and npm or a kept runtime; skipped without.
"""

import base64
import gzip
import itertools
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import pytest
from PIL import Image

import alexnet_jax
from alexnet_jax import Preprocessing, architectures
from alexnet_jax.image_resize import Interpolation, Resize, resize_images
from alexnet_jax.page import browser_runtime, describe, layer_names, write_page
from tests.support.browser import launch, serve
from tests.support.tiny import TINY, draw_params

DIGITS = architectures.DIGITS
TEST_IMAGES = Path(__file__).parents[2] / "train/data/digits/t10k-images-idx3-ubyte.gz"
# Without threads, which Chromium refuses on this server, and without WebGPU, as in older browsers.
WITHOUT_WEBGPU = "Object.defineProperty(navigator, 'gpu', { value: undefined })"
RUN = """async (text) => {
  const { describe, load } = await import("./network.js");
  const net = await describe();
  const run = await load(net);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const size = net.input.stored_size ** 2 * 3;
  const results = [];
  for (let start = 0; start < bytes.length; start += size) {
    results.push(await run(bytes.subarray(start, start + size)));
  }
  const encode = async (arrays) => {
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(new Blob(arrays));
    });
    return url.slice(url.indexOf(",") + 1);
  };
  const encoded = {};
  for (const name of Object.keys(results[0].layers)) {
    encoded[name] = await encode(results.map(({ layers }) => layers[name]));
  }
  encoded.probabilities = await encode(
    results.map(({ probabilities }) => new Float32Array(probabilities)),
  );
  return encoded;
}"""
RESIZE = """async ([text, height, width, input]) => {
  const { resize } = await import("./pictures.js");
  const pixels = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return [...resize({ pixels, height, width, channels: 3 }, input).pixels];
}"""
CENTER = """async ([text, side]) => {
  const { centerDigit } = await import("./pictures.js");
  const pixels = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return [...centerDigit({ pixels, height: side, width: side, channels: 1 }).pixels];
}"""


COLORS = Preprocessing(stored_size=16, input_size=14, mean=np.float32([120, 110, 100]))
CLASSES = ["daisy", "rose", "tulip", "lily", "aster", "poppy", "iris"]


def digits(count):
    """The first test digits of the package as pictures, uint8 [count, 28, 28, 3]."""
    pixels = np.frombuffer(gzip.decompress(TEST_IMAGES.read_bytes()), np.uint8, offset=16)
    return np.repeat(pixels.reshape(-1, 28, 28, 1)[:count], 3, axis=-1)


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


@pytest.fixture(scope="module")
def network():
    """DIGITS with drawn parameters, and the mean of the digits."""
    mean = digits(1000).mean(axis=0)
    return draw_params(DIGITS), Preprocessing(stored_size=28, input_size=24, mean=mean)


@pytest.fixture(scope="module")
def browser():
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser, network, tmp_path_factory):
    """The address of a page of that network, below others."""
    pytest.importorskip("onnx")
    params, preprocessing = network
    root = tmp_path_factory.mktemp("server")
    (root / "some" / "site").mkdir(parents=True)
    try:
        browser_runtime.read()
    except ValueError as reason:
        pytest.skip(str(reason))
    site = root / "some" / "site"
    write_page(site / "page", params, DIGITS, preprocessing, [*"0123456789"])
    write_page(site / "color", draw_params(TINY), TINY, COLORS, CLASSES)
    with serve(root) as server:
        yield f"{server}/some/site/page/"


@pytest.fixture
def visit(browser, address):
    """A function that opens the page; at the end no request may have left, and no error come."""
    requests, errors, contexts = [], [], []

    def visit(page_address=address, blocked=None, **settings):
        context = browser.new_context(**settings)
        context.set_default_timeout(60_000)  # beside other tests, two cores compile slowly
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(WITHOUT_WEBGPU)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        if blocked:
            page.route(f"**/{blocked}", lambda route: route.fulfill(status=404))
        page.goto(page_address)
        page.wait_for_selector(f"body[data-state={'failed' if blocked else 'ready'}]")
        if blocked:
            errors.clear()  # the console's line about the file
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors
    assert any(url.endswith("/net.onnx") for url in requests)
    site = address.removesuffix("page/")
    assert {url for url in requests if not url.startswith(site)} <= {"data:,"}


def percents(page):
    return page.locator("#bars small").all_inner_texts()


def wait_for_other(page, before):
    page.wait_for_function(
        "before => document.querySelector('#bars').innerText !== before", arg=before
    )


def test_all_maps_and_probabilities_are_those_of_jax_on_100_digits(visit, network):
    params, preprocessing = network
    pictures = digits(100)
    page = visit()
    assert page.evaluate("[crossOriginIsolated, typeof SharedArrayBuffer, navigator.gpu]") == [
        False,
        "undefined",
        None,
    ]
    theirs = page.evaluate(RUN, encode(pictures))
    layers = layer_names(describe(params, DIGITS, preprocessing))
    assert len(layers) == 12
    names = [*layers, "fc8"]
    run = jax.jit(lambda params, x: alexnet_jax.activations(params, x, names, architecture=DIGITS))
    ours = {name: np.asarray(x) for name, x in run(params, preprocessing(pictures)).items()}
    ours["probabilities"] = np.asarray(jax.nn.softmax(ours.pop("fc8")))
    assert theirs.keys() == ours.keys()
    for name, expected in ours.items():
        expected = np.moveaxis(expected, -1, 1)
        output = np.frombuffer(base64.b64decode(theirs[name]), np.float32).reshape(expected.shape)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_a_mouse_draws_and_every_layer_and_the_probabilities_change(visit):
    page = visit(viewport={"width": 1280, "height": 900})
    tiles = page.locator("#towers canvas")
    assert tiles.count() == 2 * (1 + 12)  # of two towers: kernels, and the layers
    assert page.locator(".junction").all_inner_texts() == [
        "The towers meet: each goes on with all 64 maps",
        "The towers meet: each goes on with all 64 maps",
        "The towers meet: each goes on with all 256 features",
        "The towers meet: the sum of their logits makes the probabilities",
    ]
    drawn = "canvases => canvases.map((canvas) => canvas.toDataURL())"
    before, bars = tiles.evaluate_all(drawn), page.inner_text("#bars")
    box = page.locator("#drawing").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 240, steps=5)
    wait_for_other(page, bars)  # while the button is still down
    page.mouse.up()
    after = tiles.evaluate_all(drawn)
    assert [a == b for a, b in zip(before, after)] == [True] * 2 + [False] * 24
    assert sum(float(text.removesuffix(" %")) for text in percents(page)) == pytest.approx(
        100, abs=1
    )
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('#bars small').innerText === ''")
    assert page.locator("#hint").is_visible()


def test_a_finger_draws_on_a_phone_and_does_not_scroll(visit):
    page = visit(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    bars = page.inner_text("#bars")
    box = page.locator("#drawing").bounding_box()
    touch = page.context.new_cdp_session(page)
    for step, kind in enumerate(["touchStart", *["touchMove"] * 5]):
        point = {"x": box["x"] + 40, "y": box["y"] + 30 + 20 * step}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for_other(page, bars)
    assert page.evaluate("scrollY") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert (
        page.evaluate(
            "document.querySelector('#drawing').getContext('2d').getImageData(20, 20, 1, 1).data[0]"
        )
        == 0
    )


def test_a_sample_shows_the_network_the_pixels_of_the_data(visit, network):
    page = visit()
    strip = np.asarray(Image.open(Path(alexnet_jax.page.STATIC, "digits.png")))
    bars = page.inner_text("#bars")
    page.get_by_role("button", name="Sample digit 7").click()
    wait_for_other(page, bars)
    canvas = "document.querySelector('#seen canvas').getContext('2d')"
    seen = page.evaluate(f"[...{canvas}.getImageData(0, 0, 28, 28).data]")
    seen = np.array(seen, np.uint8).reshape(28, 28, 4)
    assert (seen[..., :3] == strip[:, 7 * 28 : 8 * 28, None]).all()
    params, preprocessing = network
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=DIGITS))
    logits = apply(params, preprocessing(seen[None, ..., :3]))
    expected = [f"{100 * x:.1f} %" for x in jax.nn.softmax(logits[0]).tolist()]
    assert percents(page) == expected


def test_a_drawn_digit_is_scaled_and_centered_as_mnist_digits_are(visit):
    ink = np.zeros((280, 280), np.uint8)
    ink[20:180, 30:50] = 255  # an L: 160 pixels high, and 100 wide
    ink[160:180, 30:130] = 255
    pixels = np.array(visit().evaluate(CENTER, [encode(ink), 280])).reshape(28, 28)
    # The mean over 8 x 8 pixels around the center of mass, as a loop.
    rows, columns = np.nonzero(ink)
    top, left = rows.mean() + 0.5 - 14 * 8, columns.mean() + 0.5 - 14 * 8
    fine = np.kron(ink, np.ones((10, 10), np.uint8))  # tenths of a pixel
    expected = np.zeros((28, 28))
    for row in range(28):
        for column in range(28):
            y, x = round(10 * (top + 8 * row)), round(10 * (left + 8 * column))
            part = fine[max(y, 0) : max(y + 80, 0), max(x, 0) : max(x + 80, 0)]
            expected[row, column] = part.sum() / 6400
    assert abs(pixels - expected).max() < 4  # a tenth of a pixel is 3 levels
    rows, columns = np.nonzero(pixels > 127)
    assert rows.max() - rows.min() + 1 in (20, 21)
    center = [
        (pixels.sum(axis=axis) * (np.arange(28) + 0.5)).sum() / pixels.sum() for axis in (0, 1)
    ]
    assert center == pytest.approx([14, 14], abs=0.05)


def test_a_picture_is_resized_as_by_the_library(visit, rng):
    page = visit()
    for height, width in ((61, 40), (45, 90), (20, 33), (300, 41)):
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for rule, filter_name in itertools.product(get_args(Resize), get_args(Interpolation)):
            ours = resize_images(picture[None], 32, rule, filter_name)[0]
            target = {"stored_size": 32, "resize": rule, "interpolation": filter_name}
            theirs = page.evaluate(RESIZE, [encode(picture), height, width, target])
            assert abs(np.array(theirs).reshape(32, 32, 3) - np.asarray(ours)).max() <= 1


def test_a_picture_is_chosen_and_drawn_on_in_a_page_of_colors(visit, address, tmp_path):
    rows, columns = np.mgrid[:16, :16]
    picture = np.stack([200 - 10 * rows, 10 * columns, 5 * (rows + columns)], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    page = visit(address.replace("/page/", "/color/"))
    assert page.locator("#hint").is_visible()
    bars = page.inner_text("#bars")
    page.locator("#file input").set_input_files(tmp_path / "picture.png")
    wait_for_other(page, bars)
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=TINY))
    logits = apply(draw_params(TINY), COLORS(picture[None]))
    assert percents(page) == [f"{100 * x:.1f} %" for x in jax.nn.softmax(logits[0]).tolist()]
    bars = page.inner_text("#bars")
    page.locator("#drawing").click(position={"x": 90, "y": 90})
    wait_for_other(page, bars)
    corner = "document.querySelector('#seen canvas').getContext('2d').getImageData(0, 0, 1, 1).data"
    assert page.evaluate(f"[...{corner}].slice(0, 3)") == pytest.approx(picture[0, 0], abs=10)


def test_a_page_without_its_network_says_so(visit):
    page = visit(blocked="net.onnx")
    assert page.inner_text("#state").startswith("This page does not work here: ")
