"""What the runs of a group tell together: mean and deviation over seeds, and Welch's t test."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .groups import RunGroup, group_runs
from .run_summary import RunSummary


@dataclass(frozen=True)
class SeedMean:
    """An error over the seeds of a group, a fraction."""

    mean: float
    std: float | None
    """Standard deviation of the seeds, with n - 1; None of one seed."""
    count: int


@dataclass(frozen=True)
class Comparison:
    """The test errors of a group against those of another."""

    reference: str
    """The label of the other group."""
    difference: float
    """Of the mean test errors, a fraction; above 0 if the other group's is lower."""
    p_value: float | None
    """Of Welch's t test; None if a group has one seed, or no group has a deviation."""


@dataclass(frozen=True)
class GroupSummary:
    """The finished runs of a group."""

    label: str
    runs: tuple[Path, ...]
    seeds: tuple[int, ...]
    val_error: SeedMean | None
    """None without validation images."""
    test_error: SeedMean
    compared: Comparison | None
    """With the first group on the same data; None of that group."""


def summarize_groups(runs: Sequence[RunSummary]) -> list[GroupSummary]:
    """Return the groups of the finished runs; runs of the same seed count once, by their mean.

    Raises BadInput for a run whose network does not exist.
    """
    finished = {run.run_dir: run for run in runs if run.finished}
    if not finished:
        return []
    groups = []
    first_on: dict[tuple[object, ...], GroupSummary] = {}
    for group in group_runs({path: run.config for path, run in finished.items()}):
        members = [finished[path] for path in group.runs]
        data = members[0].config.data
        reference = first_on.get((data.path, data.kind, data.held_out))
        summary = _summarize(group, members, reference)
        first_on.setdefault((data.path, data.kind, data.held_out), summary)
        groups.append(summary)
    return groups


def _summarize(
    group: RunGroup, members: list[RunSummary], reference: GroupSummary | None
) -> GroupSummary:
    seeds = sorted({run.config.recipe.seed for run in members})
    test_error = _mean(members, "test_error")
    assert test_error is not None  # they are finished
    return GroupSummary(
        label=group.label,
        runs=group.runs,
        seeds=tuple(seeds),
        val_error=_mean(members, "val_error"),
        test_error=test_error,
        compared=reference and _compare(test_error, reference),
    )


def _mean(members: list[RunSummary], name: str) -> SeedMean | None:
    by_seed: dict[int, list[float]] = {}
    for run in members:
        if (error := getattr(run, name)) is not None:
            by_seed.setdefault(run.config.recipe.seed, []).append(error)
    if not by_seed:
        return None
    errors = [statistics.fmean(same) for same in by_seed.values()]
    std = statistics.stdev(errors) if len(errors) > 1 else None
    return SeedMean(statistics.fmean(errors), std, len(errors))


def _compare(errors: SeedMean, reference: GroupSummary) -> Comparison:
    other = reference.test_error
    return Comparison(reference.label, errors.mean - other.mean, welch_p_value(errors, other))


def welch_p_value(a: SeedMean, b: SeedMean) -> float | None:
    """Return the two-sided p of Welch's t test that two means are equal (Welch 1947).

    It does not assume that both deviate alike. Seeds are not taken as pairs: what two recipes share
    of a seed's draws (validation images, initial values, of a folder without a test part also the
    test images) can only make this p larger than it need be, and rounding alone moves two runs of
    one seed apart (docs/results.md), while pairs would leave half of the degrees of freedom.

    None if a mean is of one seed, or if neither deviates, for which the test has no value.
    """
    if a.std is None or b.std is None or not (a.std or b.std):
        return None
    from scipy.stats import ttest_ind_from_stats  # takes a second to import

    result = ttest_ind_from_stats(a.mean, a.std, a.count, b.mean, b.std, b.count, equal_var=False)
    return float(result.pvalue)
