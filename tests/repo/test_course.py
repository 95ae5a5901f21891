"""AlexNet in ten pages: each cell draws the picture that stands below it."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from tests.repo.test_documentation import COURSE, ROOT, TEXT, run

TABLE = r'^\| the paper, section [\d.]+ \| here \|\n\|---\|---\|\n\| ".+" \| `(alexnet_jax|train)\.'
TOLERANCE = 4
"""In gray levels of 255, on average: versions of matplotlib place letters differently."""


def coarse_pixels(picture):
    return np.asarray(Image.open(picture).convert("RGB").reduce(8), float)


@pytest.mark.parametrize("page", COURSE)
def test_the_cell_of_a_page_draws_the_picture_that_the_page_shows(page, tmp_path):
    run(page, tmp_path)
    pyplot.close("all")
    drawn = tmp_path / f"{Path(page).stem}.png"
    shown = ROOT / "docs/course" / drawn.name
    difference = np.abs(coarse_pixels(drawn) - coarse_pixels(shown)).mean()
    assert difference < TOLERANCE, f"look at {drawn}; if the change is right, copy it to {shown}"


@pytest.mark.parametrize("page", COURSE)
def test_a_page_has_a_sentence_of_the_paper_a_function_a_picture_and_one_folded_answer(page):
    text = TEXT[page]
    assert re.search(TABLE, text, re.M)
    assert f"]({Path(page).stem}.png)" in text
    assert text.count("## Exercise") == text.count("<summary>Answer</summary>") == 1
