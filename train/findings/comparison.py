"""Compare the arms of an ablation with their baselines: table, sentence and figure."""

from pathlib import Path

import numpy as np

from ..figures import page
from ..run_dir.seed_means import seed_mean, welch
from .ablations import Ablation
from .misses import Misses, error_rates, read_or_find_misses
from .report import Report
from .seed_statistics import mcnemar, mean_and_deviation, seeds_needed
from .trials import Trial, Trials

_COMPARED = ("difference", "95 % interval", "p (Welch)", "p by seed (McNemar)")


def compare(ablation: Ablation, trials: Trials) -> Report:
    """Train the arms, test all on the same images, and compare each with its baseline."""
    runs = trials.train({name: arm.flags for name, arm in ablation.arms.items()})
    misses = {
        arm: [read_or_find_misses(run, ablation.crops) for run in members]
        for arm, members in runs.items()
    }
    columns = ("arm", "seeds", "while training (%)", "training images (%)", "test images (%)")
    columns += ("by ten crops (%)",) if ablation.crops == 10 else ()
    rows = [_row(ablation, arm, runs[arm], misses) for arm in runs]
    sentences = [
        sentence(ablation, name, misses) for name, arm in ablation.arms.items() if arm.baseline
    ]
    return Report(
        " ".join(sentences), columns + _COMPARED, rows, lambda file: _draw(runs, misses, file)
    )


def _row(
    ablation: Ablation, arm: str, runs: list[Trial], misses: dict[str, list[Misses]]
) -> tuple[str | int, ...]:
    """Return the line of an arm. It is compared by ten crops if there are ten."""
    crops = (1, 10) if ablation.crops == 10 else (1,)
    training = mean_and_deviation([_train_error(run) for run in runs], scale=100)
    learned = [read_or_find_misses(run, part="training") for run in runs]
    fitted = mean_and_deviation(error_rates(learned, 1), scale=100)
    tested = [mean_and_deviation(error_rates(misses[arm], n), scale=100) for n in crops]
    row = (arm, len(runs), training, fitted, *tested)
    baseline = ablation.arms[arm].baseline
    if baseline is None:
        return (*row, "", "", "", "")
    own, base = (error_rates(misses[name], ablation.crops) for name in (arm, baseline))
    pairs = zip(misses[arm], misses[baseline], strict=True)
    by_seed = ", ".join(f"{mcnemar(a[crops[-1]], b[crops[-1]])[2]:.2g}" for a, b in pairs)
    it = welch(seed_mean(own), seed_mean(base))
    if it is None:
        return (*row, f"{100 * (np.mean(own) - np.mean(base)):+.2f}", "", "", by_seed)
    interval = f"{100 * it.low:+.2f} to {100 * it.high:+.2f}"
    return (*row, f"{100 * it.mean:+.2f}", interval, f"{it.p:.2g}", by_seed)


def _train_error(run: Trial) -> float:
    error = run.summary.train_error
    return np.nan if error is None else error


def sentence(ablation: Ablation, arm: str, misses: dict[str, list[Misses]]) -> str:
    """Say whether an arm is worse or better than its baseline, or how many seeds would show it."""
    baseline, effect = ablation.arms[arm].baseline, ablation.arms[arm].effect
    assert baseline is not None
    own, base = (error_rates(misses[name], ablation.crops) for name in (arm, baseline))
    shown = (
        f"{arm}: {mean_and_deviation(own, scale=100)} % of the test images wrong, "
        f"{baseline} {mean_and_deviation(base, scale=100)} %"
    )
    it = welch(seed_mean(own), seed_mean(base))
    if it is None:
        return f"{shown}; without two seeds that differ, this shows nothing."
    if it.is_resolved:
        return (
            f"{shown}: {abs(100 * it.mean):.1f} points {'worse' if it.mean > 0 else 'better'} "
            f"(95 % interval {100 * it.low:+.1f} to {100 * it.high:+.1f}, {len(own)} seeds)."
        )
    text = (
        f"{shown}: no difference is resolved by {len(own)} seeds (95 % interval "
        f"{100 * it.low:+.1f} to {100 * it.high:+.1f})"
    )
    if effect is None:
        return f"{text}."
    if not it.low <= effect / 100 <= it.high:
        return f"{text}, and the paper's {effect:+g} points lie outside."
    needed = seeds_needed(own, base, effect / 100)
    return f"{text}; the paper's {effect:+g} points would need about {needed} of each."


def _draw(runs: dict[str, list[Trial]], misses: dict[str, list[Misses]], file: Path) -> Path:
    """Draw the curves of all arms, and the test error of each run. Returns `file`."""
    figure = page.blank(10, 4)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    crops = max(next(iter(misses.values()))[0])
    for number, (arm, members) in enumerate(runs.items()):
        color = f"C{number}"
        rows = [run.epochs() for run in members]
        held_out = "val" if "val_top1_error" in rows[0][0] else "test"
        for part, style in (("train", "--"), (held_out, "-")):
            curves = np.array([[100 * row[f"{part}_top1_error"] for row in run] for run in rows])
            epochs = np.arange(1, curves.shape[1] + 1)
            label = arm if part != "train" else None
            left.plot(epochs, curves.mean(0), color=color, linestyle=style, label=label)
            left.fill_between(
                epochs, curves.min(0), curves.max(0), color=color, alpha=0.15, linewidth=0
            )
        errors = 100 * np.array(error_rates(misses[arm], crops))
        right.plot(errors, np.full(len(errors), number), "o", color=color, alpha=0.6)
        right.plot(errors.mean(), number, "|", color="k", markersize=18)
    left.set(xlabel="epoch", ylabel="top-1 error (%)")
    left.set_title("held-out images; dashed: while training", fontsize=10)
    left.legend(fontsize=8)
    right.set_yticks(range(len(runs)), [*runs])
    right.invert_yaxis()
    right.set(xlabel=f"test error of each seed (%){', ten crops' if crops == 10 else ''}")
    return page.write(figure, file)
