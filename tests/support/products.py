"""The products of a lowered program, by the precision that each is asked for."""

import collections
import re

_PRODUCT = re.compile(r"stablehlo\.(convolution|dot_general)\b")
_LEVEL = re.compile(r"\b(DEFAULT|HIGH|HIGHEST)\b")


def count_levels(program):
    """Return how many operands of convolutions and products each level of precision has.

    `program` is StableHLO, as `jax.export` and `Lowered.as_text` write it.
    """
    levels = collections.Counter()
    for line in filter(_PRODUCT.search, program.splitlines()):
        levels.update(_LEVEL.findall(line) or 2 * ["DEFAULT"])  # which is left out in a convolution
    return dict(levels)
