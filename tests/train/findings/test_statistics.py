"""The statistics of findings, against published examples and arithmetic by hand."""

import math
from typing import Any

import numpy as np
import pytest

from train.findings.relu import epochs_until
from train.findings.seed_statistics import mcnemar, mean_and_deviation, seeds_needed
from train.findings.specialization import chroma, halves_differ
from train.findings.trials import Trial


def test_mcnemars_test_counts_the_images_that_one_network_alone_misses():
    first, second = np.zeros(10, bool), np.zeros(10, bool)
    first[:1], second[1:6] = True, True
    first[6:8] = second[6:8] = True  # missed by both, which says nothing
    # (C(6, 0) + C(6, 1)) * 2 / 2^6
    assert mcnemar(first, second) == (1, 5, pytest.approx(14 / 64))
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_a_difference_of_one_deviation_needs_sixteen_of_each():
    # Lehr's rule: 16 s^2 / d^2; the exact quantiles make it 15.7.
    assert seeds_needed([-1.0, 0.0, 1.0], [9.0, 10.0, 11.0], effect=1.0) == 16


def test_a_mean_of_one_value_has_no_deviation():
    assert mean_and_deviation([0.5, 0.7], scale=100) == "60.00 ± 14.14"
    assert mean_and_deviation([0.5]) == "0.50"


def test_chroma_is_none_for_gray_and_two_thirds_for_one_color_or_noise():
    kernels = np.zeros((7, 7, 3, 3))
    kernels[..., 0] = np.random.default_rng(0).normal(size=(7, 7, 1))  # gray
    kernels[2, 3, 0, 1] = 4.0  # red: 16 / 3 of 16 is gray
    kernels[..., 2] = np.random.default_rng(1).normal(size=(7, 7, 3))
    gray, red, noise = chroma(kernels)
    assert gray == pytest.approx(0, abs=1e-12)
    assert red == pytest.approx(2 / 3)
    assert noise == pytest.approx(2 / 3, abs=0.1)


def test_halves_are_compared_with_all_other_halves():
    # Of the 20 ways to take three of six, two have means as far apart as these.
    difference, p = halves_differ(np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2]))
    assert difference == pytest.approx(5.0)
    assert p == pytest.approx(2 / 20)
    assert halves_differ(np.array([0.0, 5.1, 0.2, 5.0, 0.1, 5.2]))[1] > 0.2


def test_epochs_are_counted_between_two_by_a_line(monkeypatch):
    errors = [0.5, 0.3, 0.2]
    rows = [{"train_top1_error": error} for error in errors]
    monkeypatch.setattr(Trial, "epochs", lambda self: rows)
    nothing: Any = None
    run = Trial(nothing, 0, nothing, nothing)
    assert epochs_until(run, 0.25) == pytest.approx(2.5)
    assert epochs_until(run, 0.2) == pytest.approx(3)
    assert epochs_until(run, 0.75) == pytest.approx(0.5)  # from an error of 1 at the start
    assert epochs_until(run, 0.1) == math.inf
