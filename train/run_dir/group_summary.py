"""What the runs of a group tell together: mean and deviation over seeds, and Welch's t test."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .groups import RunGroup, group_runs
from .run_summary import RunSummary
from .seed_means import SeedMean, seed_mean, welch


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
    return seed_mean([statistics.fmean(same) for same in by_seed.values()])


def _compare(errors: SeedMean, reference: GroupSummary) -> Comparison:
    other = reference.test_error
    tested = welch(errors, other)
    return Comparison(reference.label, errors.mean - other.mean, tested and tested.p)
