"""The runs of findings; findings with an arm in common share its runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.errors import Ended, list_some
from ..run_dir.metrics import read_metrics
from ..run_dir.run_summary import RunSummary
from ..trainer.sweep import SweepRun, train_runs

Flags = tuple[str | float, ...]
"""Flags of `train.main`, as ("--learning-rate", 0.01)."""


@dataclass(frozen=True)
class Trial:
    """A finished run of a finding."""

    run_dir: Path
    seed: int
    summary: RunSummary
    data: Path
    """As the command names it; the run's own may have moved."""

    def epochs(self) -> list[dict[str, Any]]:
        """Return the metrics of each epoch, as metrics.jsonl has them."""
        return [row for row in read_metrics(self.run_dir) if "train_loss" in row]


@dataclass(frozen=True)
class Trials:
    """Trains the runs of a finding."""

    folder: Path
    """Of all findings: an arm has the same name in each of them."""
    data: Path
    seeds: tuple[int, ...]
    jobs: int

    def train(
        self,
        arms: Mapping[str, Flags],
        seeds: Iterable[int] | None = None,
        *,
        may_diverge: bool = False,
    ) -> dict[str, list[Trial]]:
        """Train each arm with each seed, unless that is done. Returns the runs of each arm.

        Args:
          arms: flags by the name of an arm, which is the name of its folder too.
          seeds: in place of those of the command.
          may_diverge: whether a run without figures will do.

        Raises what `train_runs` raises, and Ended if a run has diverged.
        """
        chosen = self.seeds if seeds is None else tuple(seeds)
        runs = {
            (arm, seed): SweepRun(
                self.folder / arm / f"seed-{seed}",
                ("--data", str(self.data), "--seed", str(seed), *map(str, flags)),
            )
            for seed in chosen
            for arm, flags in arms.items()
        }
        trained = train_runs([*runs.values()], self.jobs)
        diverged = [run.run_dir for run in trained if run.diverged]
        if diverged and not may_diverge:
            raise Ended(f"diverged, so that the arms cannot be compared: {list_some(diverged)}", 1)
        trials: dict[str, list[Trial]] = {arm: [] for arm in arms}
        for (arm, seed), summary in zip(runs, trained, strict=True):
            trials[arm].append(Trial(summary.run_dir, seed, summary, self.data))
        return trials
