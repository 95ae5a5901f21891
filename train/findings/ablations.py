"""The findings that compare a network or a recipe with one in which something is left out."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..config.errors import PACKAGE
from .trials import Flags


def net(name: str) -> Flags:
    """Return the flags for a network of `findings.nets`."""
    return ("--net", f"{PACKAGE}.findings.nets:{name}")


@dataclass(frozen=True)
class Arm:
    """A network and a recipe, and what they are compared with."""

    flags: Flags
    """Of `train.main`."""
    baseline: str | None = None
    """The arm to compare with, which differs in what the finding is about; None for a baseline."""
    effect: float | None = None
    """What the paper reports, in points of the top-1 error above the baseline's."""


@dataclass(frozen=True)
class Ablation:
    """Arms that are compared with baselines."""

    claim: str
    """What the paper says, with its section."""
    arms: Mapping[str, Arm]
    """By name, which is also the name of an arm's folder."""
    seeds: tuple[int, ...] = (0, 1, 2)
    crops: int = 1
    """1, or 10 to test by ten crops as well."""


FLOWERS: Flags = ("--experiment", "photographs", "--stored-size", 110, "--crop-area", "None")
"""PHOTOGRAPHS by its recipe, with the crops of §4.1: 96 pixels at random of 110, as 224 of 256."""

CIFAR: Flags = (
    *("--net", "DIGITS", "--batch-size", 64, "--stored-size", 32, "--flip"),
    *("--epochs", 10, "--cut-epochs", 6, 8.5),
)
"""The paper's network in small on crops of 24 pixels, the size of the original program's."""

LITTLE: Flags = (
    *("--net", "DIGITS", "--train-images", 6000, "--batch-size", 64, "--stored-size", 32),
    *("--epochs", 60, "--cut-epochs", 40, 52),
)
"""The same on so few images that there are as many parameters for each as in the paper.

286,922 for the 5,400 that are left by validation, 53 each; the paper's 61 million for 1.2 million
are 51.
"""
CENTER: Flags = (*LITTLE, "--train-crops", "center")
AUGMENTED: Flags = (*LITTLE, "--flip", "--pca-color", "original")

NORM: Flags = (
    *("--experiment", "cifar-13pct", "--stored-size", 32),
    *("--epochs", 20, "--cut-epochs", 16, 18),
)

ABLATIONS: dict[str, Ablation] = {
    "norm": Ablation(
        "response normalization lowers the test error of a four-layer network on CIFAR-10 from "
        "13 % to 11 % (section 3.3)",
        arms={
            "13pct": Arm(NORM),
            "13pct-norm": Arm((*NORM, *net("CIFAR_13PCT_NORM")), "13pct", -2),
        },
        crops=10,
    ),
    "augmentation": Ablation(
        "without crops and flips the network overfits substantially, PCA color augmentation lowers "
        "the top-1 error by over 1 %, and so do ten crops at test time (sections 4.1 and 6)",
        arms={
            "little-center": Arm(CENTER, "little-crops"),
            "little-crops": Arm((*LITTLE, "--flip")),
            "little": Arm(AUGMENTED, "little-crops", -1),
        },
        crops=10,
    ),
    "dropout": Ablation(
        "without dropout the network overfits substantially; dropout about doubles the iterations "
        "(section 4.2)",
        arms={
            "little": Arm(AUGMENTED),
            "little-no-dropout": Arm((*AUGMENTED, *net("NO_DROPOUT")), "little"),
            "little-center": Arm(CENTER),
            "little-center-no-dropout": Arm((*CENTER, *net("NO_DROPOUT")), "little-center"),
        },
    ),
    "two-gpus": Ablation(
        "two towers lower the top-1 error by 1.7 % against one with half as many kernels in each "
        "layer but the last convolution (section 3.2)",
        arms={
            "two-towers": Arm(FLOWERS),
            "half": Arm((*FLOWERS, *net("HALF")), "two-towers", 1.7),
        },
        seeds=(0, 1, 2, 3, 4),
    ),
    "pooling": Ablation(
        "overlapping pools, 3 x 3 every 2 pixels, lower the top-1 error by 0.4 % against 2 x 2 "
        "(section 3.4)",
        arms={
            "overlapping": Arm((*CIFAR, *net("OVERLAPPING"))),
            "non-overlapping": Arm((*CIFAR, *net("NON_OVERLAPPING")), "overlapping", 0.4),
        },
        seeds=(0, 1, 2, 3, 4),
    ),
    "depth": Ablation(
        "removing any of the middle layers costs about 2 % of top-1 performance (section 7)",
        arms={
            "small": Arm(CIFAR),
            **{f"no-conv{i}": Arm((*CIFAR, *net(f"NO_CONV{i}")), "small", 2) for i in (3, 4, 5)},
        },
    ),
}
"""By the name that `train.findings` takes."""
