"""Means over seeds, and Welch's t test of two of them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
"""Of the intervals: the customary one."""


@dataclass(frozen=True)
class SeedMean:
    """A value over several seeds, such as an error as a fraction."""

    mean: float
    std: float | None
    """Standard deviation of the seeds, with n - 1; None of one seed, NaN of infinite values."""
    count: int


@dataclass(frozen=True)
class Difference:
    """The difference of two means, its 95 % interval, and the p value of no difference."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def is_resolved(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def seed_mean(values: Sequence[float]) -> SeedMean:
    """Return mean and deviation of one value for each seed."""
    std = None
    if len(values) > 1:
        std = statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
    return SeedMean(statistics.fmean(values), std, len(values))


def welch(a: SeedMean, b: SeedMean) -> Difference | None:
    """Return the mean of `a` minus that of `b`, by Welch's t test, two-sided (Welch 1947).

    It does not assume that both deviate alike. Seeds are not taken as pairs: what two recipes share
    of a seed's draws (validation images, initial values, of a folder without a test part also the
    test images) can only make this p larger than it need be, and rounding alone moves two runs of
    one seed apart (docs/results.md), while pairs would leave half of the degrees of freedom.

    None if a mean is of one seed, or if neither deviates, for which the test has no value.
    """
    if a.std is None or b.std is None or not (a.std or b.std):
        return None
    from scipy.stats import t  # takes a second to import

    variances = [x.std**2 / x.count for x in (a, b) if x.std is not None]
    squares = sum(v**2 / (x.count - 1) for v, x in zip(variances, (a, b), strict=True))
    freedom, error = sum(variances) ** 2 / squares, math.sqrt(sum(variances))
    mean = a.mean - b.mean
    low, high = t.interval(LEVEL, freedom, loc=mean, scale=error)
    return Difference(mean, float(low), float(high), float(2 * t.sf(abs(mean) / error, freedom)))
