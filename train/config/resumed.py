"""What a run may not change once it has begun."""

from typing import Any

from .config import Config
from .errors import BadInput, flag
from .saved import NOT_SAVED

_MAY_CHANGE = {"data", "data_kind", "devices", "layout", "epochs", "save_steps", "steps"}
_MAY_CHANGE |= {"bad_images", "threads", "prefetch", "deterministic", "until_error"}
"""Flags that --resume may change: locations and length, not the recipe."""

_CHOSEN_BY_RUN = {"stored_size", "resize", "validation", "validation_from"}
"""What a run saves may be what its data made of these."""


def check_resumed(config: Config, saved: Config) -> None:
    """Refuse to resume a run with another recipe. Raises BadInput.

    Args:
      config: the one saved, changed by the flags of this call.
      saved: the one that the run has.
    """
    _check(config, saved, _MAY_CHANGE)
    recipe, before = config.recipe, saved.recipe
    if recipe.epochs != before.epochs:
        if before.steps is not None and recipe.steps == before.steps:
            raise BadInput(f"--epochs: the run's length is --steps {before.steps}; change that")
        if before.schedule in ("dexp", "cosine"):
            raise BadInput(
                f"--epochs: the schedule {before.schedule} is made for {before.epochs} epochs; "
                "start a new run"
            )


def check_same(config: Config, saved: Config) -> None:
    """Refuse a run that is not the one that a configuration would begin. Raises BadInput.

    Args:
      config: of a new run.
      saved: the one that the run has.
    """
    _check(config, saved, _MAY_CHANGE | _CHOSEN_BY_RUN)


def _check(config: Config, saved: Config, may_change: set[str]) -> None:
    before = saved.values()
    for name, value in config.values().items():
        if name not in may_change | NOT_SAVED and value != before[name]:
            folder = saved.launch.run_dir
            old, new = (shown(getattr(x, "name", x)) for x in (before[name], value))
            if name == "net" and old == new:
                raise BadInput(f"{folder} holds a run with --net {old} of other layers")
            raise BadInput(f"{folder} holds a run with {flag(name)} {old}, not {new}")


def shown(value: Any) -> str:
    """Return a value as a command line has it."""
    return " ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
