"""Tests over seeds and images, and the seeds that a difference would take."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from ..run_dir.seed_means import seed_mean


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Compare the misses of two networks on the same n images, bool [n], by McNemar's exact test.

    Returns how many images the first alone misses, how many the second alone misses, and the
    probability of counts as unequal as these or more if both were equally likely.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 0, 0, 1.0
    p = float(stats.binomtest(only_first, only_first + only_second).pvalue)
    return only_first, only_second, p


def fisher(p_values: Sequence[float]) -> float:
    """Return the p value of several independent tests together, by Fisher's method."""
    result: Any = stats.combine_pvalues(p_values)
    return float(result.pvalue)


def mean_and_deviation(values: Sequence[float], scale: float = 1, digits: int = 2) -> str:
    """Return "76.22 ± 0.41": the mean and the standard deviation (n - 1), times `scale`."""
    it = seed_mean(values)
    text = f"{scale * it.mean:.{digits}f}"
    return text if it.std is None else f"{text} ± {scale * it.std:.{digits}f}"


def seeds_needed(first: Sequence[float], second: Sequence[float], effect: float) -> int:
    """Return the seeds of each arm that show a difference of `effect` in four of five repetitions.

    For two samples of equal size with the variances seen here, at a two-sided level of 0.05, by the
    normal approximation n = (1.96 + 0.84)^2 (s1^2 + s2^2) / effect^2.
    """
    variance = float(np.var(first, ddof=1) + np.var(second, ddof=1))
    quantiles = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    return max(2, int(np.ceil(quantiles**2 * variance / effect**2)))
