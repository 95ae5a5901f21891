"""The experiment of a run that names none: the pictures choose."""

from typing import NamedTuple

from ..config.config import Config
from ..config.experiments import DIGITS, FLOWERS, PHOTOGRAPHS
from ..config.recipe import Recipe
from ..config.saved import load_config
from ..data.picture_sizes import measure_pictures

LARGEST_SMALL = 40
"""Pixels. MNIST has 28, CIFAR and SVHN 32; the smallest sets of photographs have 64."""


class Choice(NamedTuple):
    """An experiment, and the sentence that says why and how to choose another."""

    experiment: str
    sentence: str


class Candidates(NamedTuple):
    """The recipes that suit some pictures, and why."""

    on_cpu: Recipe
    on_accelerator: Recipe
    why: str

    def on(self, platform: str) -> Choice:
        """Return the choice for devices of a platform, as JAX calls it: "cpu", "gpu" or "tpu"."""
        recipe = self.on_cpu if platform == "cpu" else self.on_accelerator
        return Choice(
            recipe.experiment,
            f"experiment {recipe.experiment}: {self.why} (--experiment or --net chooses another)",
        )


def find_candidates(config: Config) -> Candidates:
    """Choose by the median of the pictures' shorter sides.

    Args:
      config: of the run; of it, only where the data and the initial weights are.

    Raises BadInput if the data cannot be read.
    """
    assert config.data.path is not None
    sizes = measure_pictures(config.data.path, config.data.kind)
    init = config.recipe.init
    if init is not None and (init / "config.json").is_file():
        net = load_config(init).recipe.net
        for recipe in (DIGITS, PHOTOGRAPHS, FLOWERS):
            if net == recipe.net:
                return Candidates(recipe, recipe, f"{init} has its network")
    if sizes is None:
        return Candidates(DIGITS, DIGITS, "no picture can be measured")
    why = f"the shorter side of the pictures is {sizes.median:g} pixels"
    if sizes.pictures > 1:
        why += f", the median of {sizes.pictures}"
    if sizes.median > LARGEST_SMALL:
        return Candidates(PHOTOGRAPHS, FLOWERS, why)
    return Candidates(DIGITS, DIGITS, why)
