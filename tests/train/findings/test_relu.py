"""The finding on ReLU tries rates in runs of their own, and goes on with the best of each unit."""

from dataclasses import dataclass, field
from types import SimpleNamespace

from train.findings import relu

DIVERGED = 0.2
"""What such a run reports of its last epoch, lower than the others."""

ERRORS = {"relu": {0.003: 0.4, 0.01: 0.5, 0.1: DIVERGED}, "tanh": {0.03: 0.5, 0.1: 0.6}}
EPOCHS = {"relu": 3, "tanh": 12}


@dataclass
class RecordedTrials:
    """Stands for runs: notes their flags, and "trains" them by the tables above."""

    seeds: tuple[int, ...] = (0, 1)
    flags: dict[str, list] = field(default_factory=dict)

    def train(self, arms, seeds=None, *, may_diverge=False):
        assert may_diverge == all(arm.startswith("rate-") for arm in arms)
        for arm, flags in arms.items():
            assert self.flags.setdefault(arm, [*flags]) == [*flags], arm
        return {arm: [run(arm) for _ in seeds or self.seeds] for arm in arms}


def run(arm):
    unit, rate = arm.removeprefix("rate-").split("-", 1)
    error = ERRORS[unit].get(float(rate), 0.9)
    rows = [{"train_top1_error": 0.9}] * (EPOCHS[unit] - 1) + [{"train_top1_error": 0.25}]
    return SimpleNamespace(
        summary=SimpleNamespace(train_error=error, diverged=error == DIVERGED), epochs=lambda: rows
    )


def test_no_two_runs_of_a_folder_differ_and_the_best_rate_goes_on():
    trials = RecordedTrials()
    report = relu.find(trials)
    longer = {arm: flags for arm, flags in trials.flags.items() if not arm.startswith("rate-")}
    assert {*longer} == {"relu-0.003", "tanh-0.03"}
    assert len(trials.flags) == 2 * len(relu.RATES) + 2
    assert longer["relu-0.003"] != trials.flags["rate-relu-0.003"]  # it trains more epochs
    assert "in 3.0 epochs, tanh in 12.0: 4.0 times as fast" in report.sentence


def test_the_rates_are_those_of_one_seed_whatever_seeds_are_asked_for(monkeypatch):
    asked = []
    trials = RecordedTrials(seeds=(3, 4))
    train = trials.train
    monkeypatch.setattr(
        trials,
        "train",
        lambda arms, seeds=None, **more: asked.append(seeds) or train(arms, seeds, **more),
    )
    relu.find(trials)
    assert asked == [(0,), None]


def test_runs_that_never_come_to_the_error_are_reported_as_such(monkeypatch):
    monkeypatch.setattr(relu, "ERROR", 0.24)
    report = relu.find(RecordedTrials())
    assert report.sentence == "not all runs came to a training error of 24% in 150 epochs."
    assert [row[3] for row in report.rows] == ["not reached in 150 epochs by 2 of 2"] * 2
