"""The configuration of a run, by owner: what is trained, on which data, how it is launched.

Each field is also a flag of `train.main` (`flags.py`) and a key of a run's config.json
(`saved.py`), both by the name that `Config.values` gives it.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import BadInput
from .recipe import Recipe
from .settings import (
    ADDRESS,
    COUNTS,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    Bound,
    check_bounds,
    flag_name,
    setting,
)

COMMAND = "python -m train.main"
"""The command that trains; `errors.as_called` shows it as a user typed it."""

Layout = Literal["tower", "data", "dense"]
"""What several devices divide, see `Launch.layout`."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data, and how they are read."""

    path: Path | None = setting(
        None,
        "Records of train.prepare, IDX files, CIFAR's binary batches, or images in DIR/train/CLASS "
        "and DIR/test/CLASS, or in DIR/CLASS. By default the digits inside the package, for the "
        "experiment digits.",
        name="data",
    )
    kind: Literal["auto", "records", "idx", "cifar", "folder"] = setting(
        "auto", "The format of --data.", name="data_kind"
    )
    held_out: float = setting(
        0.1,
        "For --data with DIR/CLASS alone: the fraction of each class that is held out for testing. "
        "The seed decides which images.",
        FRACTION,
    )
    classes: int | None = setting(
        None, "The number of classes that the data must have; any by default.", POSITIVE
    )
    bad_images: int = setting(
        0,
        "Skip up to this many training pictures that cannot be decoded, each by name; the next one "
        "in the data takes its place. As many validation and test pictures are left out. One more "
        "stops the run.",
        NOT_NEGATIVE,
    )
    threads: int | None = setting(
        None,
        "Threads that decode images; by default one for each core of this process, 16 at most.",
        POSITIVE,
    )
    prefetch: int = setting(4, "Batches decoded ahead.", POSITIVE)

    def __post_init__(self) -> None:
        """Check the values. Raises BadInput."""
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where and on what the run is executed. None of it changes the result, but for rounding."""

    devices: int = setting(
        1,
        "1, or 2 for one tower on each. 4, 6, 8, ... also divide the batch, and so does any number "
        "for a network of one tower. Counted over all processes.",
        POSITIVE,
    )
    layout: Layout = setting(
        "tower",
        "What several devices divide. tower: the towers and, from four devices on, the batch. "
        "data: the batch alone; each holds all parameters. dense: the batch up to the last dense "
        "layers and, in groups of up to eight devices, these layers (Krizhevsky 2014).",
    )
    coordinator: str | None = setting(
        None,
        "HOST:PORT of process 0, to start several processes by hand. Under SLURM, Open MPI, "
        "Kubernetes and on Cloud TPUs they find each other.",
        ADDRESS,
    )
    processes: int | None = setting(None, "By hand: the number of processes.", POSITIVE)
    process_id: int | None = setting(None, "By hand: the number of this process, from 0 on.")
    run_dir: Path | None = setting(None, "The folder of the run; by default a new folder in runs/.")
    resume: bool = setting(
        False, "Continue the run in --run-dir; its other flags need not be repeated."
    )
    save_steps: int | None = setting(
        None, "Save a checkpoint after this many steps, besides each epoch.", POSITIVE
    )
    deterministic: bool = setting(
        False,
        "On a GPU, ask XLA for the same bits each time, at a cost in speed and memory. A CPU gives "
        "them anyway.",
    )
    plan: bool = setting(
        False,
        "Dry run: train nothing and write nothing. Print what the run would do, the memory that it "
        "takes on each device and, after five steps or 20 seconds of them, how long it would take "
        "here.",
    )
    plan_images: tuple[int, ...] = setting(
        (),
        "For --plan without data: the number of training images, and of test images.",
        COUNTS,
    )
    plan_classes: int = setting(
        1000, "With --plan-images: the number of classes.", Bound("above 1", lambda n: n > 1)
    )

    def __post_init__(self) -> None:
        """Check the values. Raises BadInput."""
        check_bounds(self)
        if self.resume and self.run_dir is None:
            raise BadInput("`resume` needs `run_dir`, the folder of the run to continue")
        if self.plan_images and not self.plan:
            raise BadInput("`plan_images` is for `plan`, which trains nothing")
        by_hand = (self.coordinator, self.processes, self.process_id)
        if None in by_hand and any(value is not None for value in by_hand):
            raise BadInput("`coordinator`, `processes` and `process_id` belong together")
        if self.processes and not 0 <= (self.process_id or 0) < self.processes:
            raise BadInput(
                f"`process_id` must be from 0 to {self.processes - 1}, not {self.process_id}"
            )


@dataclass(frozen=True)
class Config:
    """Everything that a run is started with."""

    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    data: DataConfig = DataConfig()
    launch: Launch = Launch()

    def __post_init__(self) -> None:
        """Check what concerns two owners. Raises BadInput."""
        if self.launch.plan_images and self.data.path is not None:
            raise BadInput("`plan_images` stands in for data, and `data` names some; drop one")

    def values(self) -> dict[str, Any]:
        """Return all values by the names of their flags: {"net": "DIGITS", "data": None, ...}."""
        return {
            flag_name(field): getattr(part, field.name)
            for part in (self.recipe, self.data, self.launch)
            for field in dataclasses.fields(part)
        }

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with some values changed, by the names of their flags.

            Config().replace(net="PAPER", data=Path("images"), devices=2)

        Raises BadInput for a wrong value, TypeError for a name that is no flag.
        """
        parts: dict[str, Any] = {}
        for owner in dataclasses.fields(self):
            part = getattr(self, owner.name)
            names = {flag_name(field): field.name for field in dataclasses.fields(part)}
            own = {names[name]: changes.pop(name) for name in [*changes] if name in names}
            parts[owner.name] = dataclasses.replace(part, **own)
        if changes:
            raise TypeError(f"a configuration has no {', '.join(changes)}")
        return Config(**parts)


FIELDS: dict[str, dataclasses.Field[Any]] = {
    field.metadata["name"] or field.name: field
    for owner in (Recipe, DataConfig, Launch)
    for field in dataclasses.fields(owner)
}
"""Every field by the name of its flag."""
