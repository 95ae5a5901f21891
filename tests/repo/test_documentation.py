"""The Python in README and docs runs, page by page, and does what the page says of it."""

import contextlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from alexnet_jax.architectures import TORCHVISION
from tests.support.tiny import drawn, narrow

ROOT = Path(__file__).parents[2]
# A comment above a block keeps it from being run, and says why.
BLOCK = re.compile(r"(<!-- not run: (?P<why>.+?) -->\n+)?```python\n(?P<code>.*?)```", re.S)
BLOCKS = {
    str(path.relative_to(ROOT)): list(BLOCK.finditer(path.read_text()))
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
}
PAGES = [page for page, blocks in BLOCKS.items() if not all(block["why"] for block in blocks)]
WEIGHTS = """
import alexnet_jax, jax, numpy
from PIL import Image
from tests.support.tiny import TINY, drawn
pictures, class_names = numpy.zeros((2, 20, 30, 3), "uint8"), [*"abcdefg"]
its = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=[120, 110, 100])
for name in ("alexnet-owt-7be5be79.pth", "bvlc_alexnet.caffemodel"):  # known by their content
    alexnet_jax.save(name, drawn(TINY), TINY, its)
"""
GIVEN = {  # the names and files that a page's prose explains
    "README.md": WEIGHTS
    + """
images, key = jax.numpy.zeros((1, 224, 224, 3)), jax.random.key(0)
""",
    "docs/nets.md": """
import alexnet_jax, jax
from tests.library.test_batch_norm import NET as architecture
from tests.support.tiny import drawn
params, images = drawn(architecture), jax.numpy.ones((2, 9, 9, 3))
key = jax.random.key(0)
scores, moments = alexnet_jax.apply_train(params, images, key, architecture=architecture)
""",
    "docs/weights.md": WEIGHTS
    + """
alexnet_jax.export("digits.stablehlo", drawn(TINY), TINY, its)
Image.new("RGB", (30, 20)).save("picture.png")
for place in ("val/a", "val/b"):
    __import__("os").makedirs(place)
    Image.new("RGB", (30, 20)).save(f"{place}/0.png")
""",
}


def run(page, folder):
    """Run the blocks of a page in their order, in an empty folder; return the names they make."""
    names = {}
    text = (ROOT / page).read_text()
    with jax.numpy_dtype_promotion("standard"), contextlib.chdir(folder):
        exec(GIVEN.get(page, ""), names)
        for block in BLOCKS[page]:
            if not block["why"]:
                before = text[: block.start("code")].count("\n")
                code = compile("\n" * before + block["code"], str(ROOT / page), "exec")
                exec(code, names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    run(page, tmp_path)


def test_the_notebook_away_from_a_clone_says_what_to_put_in(tmp_path, monkeypatch):
    cells = json.loads((ROOT / "notebooks" / "alexnet_colab.ipynb").read_text())["cells"]
    [install] = [text for cell in cells if "%pip" in (text := "".join(cell["source"]))]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="SOURCE, above: put in the owner's name"):
        exec(install.replace("%pip", "pass  #"), {})


def shapes(rng):
    """A picture of 224 pixels with forty ellipses, in color."""
    picture = Image.new("RGB", (224, 224))
    for _ in range(40):
        left, top, width, height = rng.integers(10, 180, 4)
        box = (left, top, left + width // 3, top + height // 3)
        ImageDraw.Draw(picture).ellipse(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return picture


def test_blurring_moves_a_picture_away_the_further_the_more_it_is_blurred(rng, tmp_path):
    """Identity, symmetry and order of the perceptual distance, and its gradient on black."""
    names = run("docs/features.md", tmp_path)
    distance = jax.jit(names["perceptual_distance"], static_argnums=3)
    net = narrow(TORCHVISION)
    params = drawn(net)
    sharp = shapes(rng)
    blurred = [sharp.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 3, 9)]
    pixels = np.stack([np.asarray(x, np.float32) - 128 for x in blurred])
    same = np.stack([pixels[0]] * 4)
    distances = distance(params, same, pixels, net)
    assert distances[0] < 1e-12  # of rounding, where images of a batch are computed apart
    assert (np.diff(distances) > 0).all()
    np.testing.assert_allclose(distance(params, pixels, same, net), distances, rtol=1e-5)
    gradient = jax.grad(lambda x: distance(params, x, same, net).sum())(0 * pixels)
    assert np.isfinite(gradient).all()
