"""The experiment of a run that names none: the pictures choose."""

from typing import NamedTuple

from ..config.config import Config
from ..config.experiments import DIGITS, FLOWERS, PHOTOGRAPHS
from ..config.saved import load_config
from ..data.picture_sizes import measure_pictures

LARGEST_SMALL = 40
"""Pixels. MNIST has 28, CIFAR and SVHN 32; the smallest sets of photographs have 64."""


class Choice(NamedTuple):
    """An experiment, and the sentence that says why and how to choose another."""

    experiment: str
    sentence: str


def choose_experiment(config: Config, platform: str) -> Choice:
    """Choose by the median of the pictures' shorter sides.

    Args:
      config: of the run; of it, only where the data and the initial weights are.
      platform: of the devices, as JAX calls it: "cpu", "gpu" or "tpu".

    Raises BadInput if the data cannot be read.
    """
    assert config.data.path is not None
    sizes = measure_pictures(config.data.path, config.data.kind)
    large = sizes is not None and sizes.median > LARGEST_SMALL
    photographs = PHOTOGRAPHS if platform == "cpu" else FLOWERS
    recipe = photographs if large else DIGITS
    why = "no picture can be measured"
    if sizes is not None:
        why = f"the shorter side of the pictures is {sizes.median:g} pixels"
        if sizes.pictures > 1:
            why += f", the median of {sizes.pictures}"
    init = config.recipe.init
    if init is not None and (init / "config.json").is_file():
        net = load_config(init).recipe.net
        for other in (DIGITS, PHOTOGRAPHS, FLOWERS):
            if net == other.net:
                recipe, why = other, f"{init} has its network"
    return Choice(
        recipe.experiment,
        f"experiment {recipe.experiment}: {why} (--experiment or --net chooses another)",
    )
