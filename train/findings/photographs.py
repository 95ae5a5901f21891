"""The runs on photographs of flowers that several findings share.

The network and recipe of the experiment `photographs`, with the crops of section 4.1 in place of
resized ones: 96 pixels at random out of 110, as 224 of 256.
"""

from ..config.errors import PACKAGE
from .trials import Flags

DATA = "flowers"

CROPS: Flags = ("--stored-size", 110, "--crop-area", "None")
RECIPE: Flags = ("--experiment", "photographs", *CROPS)
"""Crops, flips and PCA color augmentation."""


def recipe_with(net: str) -> Flags:
    """Return the recipe with a network of `findings.nets`."""
    return (*RECIPE, "--net", f"{PACKAGE}.findings.nets:{net}")


TWO_TOWERS = {"two-towers": RECIPE}
"""The arm that the findings compare others with."""
