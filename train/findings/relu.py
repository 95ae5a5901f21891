"""Section 3.1, Figure 1: ReLU trains several times faster than tanh.

A four-layer network on 10,000 images of CIFAR-10 without regularization, the smallest of the
original program's examples. Each kind of unit has the learning rate, of five, with which its
training error is the lowest after a few epochs. Counted are the epochs until the training error is
25 %. On all 50,000 images an epoch takes five times as long.
"""

import math
from pathlib import Path

import numpy as np

from ..config.errors import PACKAGE
from ..figures import page
from ..run_dir.seed_means import seed_mean, welch
from .report import Report
from .seed_statistics import mean_and_deviation
from .trials import Flags, Trial, Trials

CLAIM = (
    "a four-layer convolutional neural network with ReLUs reaches a 25 % training error rate on "
    "CIFAR-10 six times faster than an equivalent network with tanh neurons (section 3.1)"
)
SEEDS = (0, 1, 2)
SEED_OF_RATES = 0
"""Whatever seeds are asked for: all of them have the same rates."""

NETS = {"relu": "CIFAR_19PCT", "tanh": f"{PACKAGE}.findings.nets:CIFAR_19PCT_TANH"}
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
IMAGES, EPOCHS_OF_RATES, MOST_EPOCHS, ERROR = 10_000, 8, 150, 0.25


def find(trials: Trials) -> Report:
    """Train the networks, and count their epochs."""
    candidates = {
        _trial(unit, rate): _flags(unit, rate, EPOCHS_OF_RATES) for unit in NETS for rate in RATES
    }
    tried = trials.train(candidates, (SEED_OF_RATES,), may_diverge=True)
    best = {
        unit: min(RATES, key=lambda rate: _last_error(tried[_trial(unit, rate)])) for unit in NETS
    }
    runs = trials.train({_arm(unit, best[unit]): _flags(unit, best[unit]) for unit in NETS})
    by_unit = {unit: runs[_arm(unit, best[unit])] for unit in NETS}
    epochs = {unit: [epochs_until(run, ERROR) for run in by_unit[unit]] for unit in NETS}
    rows = [(unit, best[unit], len(epochs[unit]), _shown(epochs[unit])) for unit in NETS]
    columns = ("units", "learning rate", "seeds", "epochs until a training error of 25 %")
    return Report(_sentence(epochs), columns, rows, lambda file: draw(by_unit, file))


def _arm(unit: str, rate: float) -> str:
    return f"{unit}-{rate:g}"


def _trial(unit: str, rate: float) -> str:
    """The arm that tries a rate: a longer run of the same name could not be one of few epochs."""
    return f"rate-{_arm(unit, rate)}"


def _flags(unit: str, rate: float, epochs: int = MOST_EPOCHS) -> Flags:
    return (
        *("--net", NETS[unit], "--train-images", IMAGES, "--stored-size", 32),
        *("--batch-size", 128, "--weight-decay", 0, "--learning-rate", rate, "--cut-epochs"),
        *("--epochs", epochs, "--until-error", ERROR),
    )


def _last_error(runs: list[Trial]) -> float:
    """Return the training error of a rate; 1 if its run diverged."""
    summary = runs[0].summary
    return 1.0 if summary.diverged or summary.train_error is None else summary.train_error


def epochs_until(run: Trial, error: float) -> float:
    """Return the epochs until the training error was `error`, between two epochs by a line.

    Infinite if it never was.
    """
    errors = [row["train_top1_error"] for row in run.epochs()]
    for epoch, now in enumerate(errors, 1):
        if now <= error:
            before = errors[epoch - 2] if epoch > 1 else 1.0
            return epoch - (error - now) / (before - now)
    return float("inf")


def _shown(epochs: list[float]) -> str:
    if missing := sum(map(math.isinf, epochs)):
        return f"not reached in {MOST_EPOCHS} epochs by {missing} of {len(epochs)}"
    return mean_and_deviation(epochs, digits=1)


def _sentence(epochs: dict[str, list[float]]) -> str:
    if not np.isfinite([*epochs["relu"], *epochs["tanh"]]).all():
        return f"not all runs came to a training error of {ERROR:.0%} in {MOST_EPOCHS} epochs."
    relu, tanh = (float(np.mean(epochs[unit])) for unit in NETS)
    text = (
        f"ReLU came to a training error of {ERROR:.0%} in {relu:.1f} epochs, tanh in {tanh:.1f}: "
        f"{tanh / relu:.1f} times as fast"
    )
    logs = (seed_mean([*np.log(epochs[unit])]) for unit in ("tanh", "relu"))
    if ratio := welch(*logs):
        low, high = np.exp([ratio.low, ratio.high])
        text += f" (95 % interval {low:.1f} to {high:.1f}, {len(epochs['relu'])} seeds each)"
    return f"{text}; the paper has six times."


def draw(runs: dict[str, list[Trial]], file: Path) -> Path:
    """Draw the training error of both by epoch, as Figure 1. Returns `file`."""
    figure = page.blank(6, 4)
    axes = figure.subplots()
    for unit, style in (("relu", "-"), ("tanh", "--")):
        for number, run in enumerate(runs[unit]):
            errors = [100 * row["train_top1_error"] for row in run.epochs()]
            label = {"relu": "ReLU", "tanh": "tanh"}[unit] if number == 0 else None
            axes.plot(range(1, len(errors) + 1), errors, f"k{style}", linewidth=1, label=label)
    axes.axhline(100 * ERROR, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epochs", ylabel="training error rate (%)", ylim=(0, 75), xlim=(0, None))
    axes.legend()
    return page.write(figure, file)
