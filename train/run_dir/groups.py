"""Runs that differ in their seed alone form a group, named after what tells it from the others."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..config.config import Config, Launch
from ..config.network import get_architecture

_SELDOM_TELLING = {field.name for field in dataclasses.fields(Launch)}
_SELDOM_TELLING |= {"seed", "threads", "prefetch"}
"""Values that name no group: they say where a run was executed, or are averaged over."""
_MOST_WORDS = 3
"""Values that a label has room for."""


class RunGroup(NamedTuple):
    """Runs of one recipe on the same data: "learning_rate 0.01", of seeds 0, 1 and 2."""

    label: str
    runs: tuple[Path, ...]


def group_runs(configs: Mapping[Path, Config]) -> list[RunGroup]:
    """Return the groups of runs, in the order in which their first runs come.

    Args:
      configs: the configuration of each run, by its folder.

    Raises BadInput for a run whose network does not exist.
    """
    values = {run: _values(config) for run, config in configs.items()}
    groups: dict[tuple[Any, ...], list[Path]] = {}
    for run, own in values.items():
        groups.setdefault(tuple(own.items()), []).append(run)
    all_values = list(values.values())
    telling = [name for name in all_values[0] if len({own[name] for own in all_values}) > 1]
    labeled = []
    for members in groups.values():
        own = values[members[0]]
        words = [f"{name} {_short(own[name])}" for name in telling[:_MOST_WORDS]]
        if len(telling) > _MOST_WORDS or not words:  # the first values may be those of two groups
            words = [*words[: _MOST_WORDS - 1], _folder_name(members, [*configs])]
        labeled.append(RunGroup(", ".join(words), tuple(members)))
    return labeled


def _values(config: Config) -> dict[str, Any]:
    """Return the values that may name a group, the network as its layers."""
    values = {name: x for name, x in config.values().items() if name not in _SELDOM_TELLING}
    return values | {"net": get_architecture(config)}


def _short(value: Any) -> str:
    return getattr(value, "name", None) or str(value)


def _folder_name(members: list[Path], runs: list[Path]) -> str:
    """Return the name of the folder that holds these of the runs alone, else of the first run."""
    folder = Path(os.path.commonpath([run.absolute() for run in members]))
    inside = [run for run in runs if run.absolute().is_relative_to(folder)]
    return folder.name if len(inside) == len(members) else members[0].name
