"""Section 6.1: the kernels of one tower become colorful, those of the other gray.

The chroma of a kernel is the part of its energy off the gray axis: 0 for a kernel that weighs red,
green and blue alike, 2/3 for random numbers. For each run, the difference of the two towers' mean
chroma stands against that of random halves of the same kernels. The controls: the kernels before
training, a single tower, whose halves are arbitrary, and towers that never meet.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from ..config.network import get_architecture
from ..figures import page
from ..figures.kernels import mosaic
from ..inference.predictor import open_predictor
from ..trainer.build import draw_initial_params
from .ablations import FLOWERS, net
from .report import Report
from .seed_statistics import fisher
from .trials import Flags, Trial, Trials

CLAIM = (
    "the kernels on GPU 1 are largely color-agnostic, those on GPU 2 largely color-specific, in "
    "every run and whatever the initial weights (section 6.1)"
)
SEEDS = (0, 1, 2, 3, 4)

ARMS: dict[str, Flags] = {
    "two-towers": FLOWERS,
    "one-tower": (*FLOWERS, *net("ONE_TOWER")),
    "no-communication": (*FLOWERS, *net("NO_COMMUNICATION")),
}
_HALVES = 20_000
"""Random halves: the standard error of a p value of 0.01 is 0.0007."""


def find(trials: Trials) -> Report:
    """Train the arms, and compare the halves of the first layer's kernels."""
    runs = trials.train(ARMS)
    kernels = {arm: [first_kernels(run) for run in members] for arm, members in runs.items()}
    kernels["two-towers, untrained"] = [initial_kernels(run) for run in runs["two-towers"]]
    rows, p_values = [], {}
    for arm, arrays in kernels.items():
        tested = [halves_differ(chroma(array)) for array in arrays]
        p_values[arm] = fisher([p for _, p in tested])
        differences = ", ".join(f"{difference:+.2f}" for difference, _ in tested)
        each = ", ".join(f"{p:.2g}" for _, p in tested)
        rows.append((arm, len(arrays), differences, each, f"{p_values[arm]:.2g}"))
    columns = ("arm", "seeds", "mean chroma, second half less first", "p by seed")
    columns += ("p of all (Fisher)",)
    count = sum(halves_differ(chroma(one))[1] < 0.05 for one in kernels["two-towers"])
    sentence = (
        f"in {count} of {len(kernels['two-towers'])} runs the two towers differ in color more than "
        f"19 of 20 random halves do (all runs together: p = {p_values['two-towers']:.2g}; before "
        f"training: {p_values['two-towers, untrained']:.2g}; one tower cut in two: "
        f"{p_values['one-tower']:.2g}; towers that never meet: "
        f"{p_values['no-communication']:.2g}); the paper saw it in every run."
    )
    return Report(sentence, columns, rows, lambda file: draw(kernels, file))


def first_kernels(run: Trial) -> np.ndarray:
    """Return the kernels of conv1, float32 [height, width, 3, maps]."""
    return np.asarray(open_predictor(run.run_dir, "latest").params["conv1"][0], np.float32)


def initial_kernels(run: Trial) -> np.ndarray:
    """Return the kernels of conv1 before training, float32 [height, width, 3, maps]."""
    recipe = run.summary.config.recipe
    params = draw_initial_params(recipe, get_architecture(run.summary.config))
    return np.asarray(params["conv1"][0], np.float32)


def chroma(kernels: np.ndarray) -> np.ndarray:
    """Return the part of each kernel's energy that is not gray, from 0 to 1, [maps].

    Args:
      kernels: [height, width, 3, maps].
    """
    gray = kernels.mean(axis=2, keepdims=True)
    colored = ((kernels - gray) ** 2).sum(axis=(0, 1, 2))
    return colored / (kernels**2).sum(axis=(0, 1, 2))


def halves_differ(values: np.ndarray) -> tuple[float, float]:
    """Return the mean of the second half of `values` less that of the first, and its p value.

    That is the share of random halves whose means are as far apart, by a permutation test.
    """

    def distance(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.abs(first.mean(axis=axis) - second.mean(axis=axis))

    first, second = np.split(values, 2)
    result = stats.permutation_test(
        (first, second),
        distance,
        vectorized=True,
        n_resamples=_HALVES,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(second.mean() - first.mean()), float(result.pvalue)


def draw(kernels: dict[str, list[np.ndarray]], file: Path) -> Path:
    """Draw the chroma of each kernel by halves, and the kernels of one run. Returns `file`."""
    figure = page.blank(11, 5.2)
    places = ((2, 1, 1), (2, 2, 3), (2, 2, 4))
    above, *below = (figure.add_subplot(*place) for place in places)
    ticks, left = [], 0.0
    for arm, arrays in kernels.items():
        ticks.append((left + 0.75 * len(arrays) - 0.5, arm))
        for array in arrays:
            halves = np.split(chroma(array), 2)
            for half, color, x in zip(halves, ("0.35", "C3"), (left, left + 0.5), strict=True):
                above.plot(np.full(len(half), x), half, ".", color=color, markersize=4, alpha=0.7)
                above.plot(x, half.mean(), "_", color=color, markersize=16)
            left += 1.5
        left += 1.5
    above.set_xticks([x for x, _ in ticks], [arm for _, arm in ticks])
    above.set_ylabel("chroma of each kernel")
    above.set_title(
        "first half of the kernels in gray, second in red, a pair for each seed", size=10
    )
    first = next(iter(kernels.values()))[0]
    for panel, half, name in zip(below, np.split(first, 2, axis=-1), ("1", "2"), strict=True):
        order = np.argsort(chroma(half))
        panel.imshow(mosaic(half[..., order], 8), interpolation="nearest")
        panel.set_title(f"tower {name} of the first run, by chroma", size=10)
        panel.set_axis_off()
    return page.write(figure, file)
