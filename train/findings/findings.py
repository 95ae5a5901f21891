"""All findings by name."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from . import relu, specialization
from .ablations import ABLATIONS
from .comparison import compare
from .report import Report
from .trials import Trials


class Finding(NamedTuple):
    """What the paper says, the seeds that show it or not, and what trains and reports them."""

    claim: str
    seeds: tuple[int, ...]
    find: Callable[[Trials], Report]


def get_finding(name: str) -> Finding:
    """Return a finding by a name that `train.findings` takes."""
    match name:
        case "relu":
            return Finding(relu.CLAIM, relu.SEEDS, relu.find)
        case "specialization":
            return Finding(specialization.CLAIM, specialization.SEEDS, specialization.find)
    ablation = ABLATIONS[name]
    return Finding(ablation.claim, ablation.seeds, functools.partial(compare, ablation))
