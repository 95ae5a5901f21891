"""A run for each of several seeds: `train.main --seeds 0 1 2`."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.config import COMMAND
from ..config.errors import BadInput
from ..config.flags import make_config, without_seeds
from ..run_dir.folder import choose_folder
from ..runtime.distributed import detect_launcher
from .sweep import SweepRun, train_runs

_OF_ONE_RUN = {
    "seed": "`seeds` and `seed` exclude each other; drop one",
    "resume": "`seeds` continues what was stopped without `resume`; drop that",
    "plan": "`plan` is for one run; give it `seed` in place of `seeds`",
    "coordinator": "`coordinator` is for one run; give it `seed` in place of `seeds`",
}
"""Flags that do not go with --seeds, and why."""


def train_seeds(given: dict[str, Any], argv: Sequence[str]) -> tuple[Path, list[Path]]:
    """Train a run for each seed, one after the other, in FOLDER/seed-S.

    What is finished is skipped, and what was stopped is resumed.

    Args:
      given: the values of the flags, `seeds` among them.
      argv: the flags themselves.

    Returns FOLDER, and the folders of the runs that diverged.

    Raises:
      BadInput: flags that are refused, with several seeds or at all.
      Ended: a run failed, or a signal stopped it after it was saved.
    """
    own = {name: value for name, value in given.items() if name != "seeds"}
    _check(own, given["seeds"])
    folder = given.get("run_dir") or choose_folder("seeds")
    _make(folder)
    shared = without_seeds(argv)
    like = ("--like", str(given["like"])) if "like" in given else ()
    runs = [
        SweepRun(folder / f"seed-{seed}", (*shared, "--seed", str(seed)), like)
        for seed in given["seeds"]
    ]
    seeds = " ".join(map(str, given["seeds"]))
    flags = shlex.join([*like, *shared, "--run-dir", str(folder)])
    print(f"seeds {seeds}, each in {folder}/seed-N", flush=True)
    trained = train_runs(runs, way_on=f"{COMMAND} --seeds {seeds} {flags}")
    return folder, [run.run_dir for run in trained if run.diverged]


def _check(own: dict[str, Any], seeds: Sequence[int]) -> None:
    for name, sentence in _OF_ONE_RUN.items():
        if name in own and own[name] is not False:  # --no-resume
            raise BadInput(sentence)
    if repeated := [seed for number, seed in enumerate(seeds) if seed in seeds[:number]]:
        raise BadInput(f"`seeds` names {repeated[0]} twice")
    configs = [make_config(own | {"seed": seed}) for seed in seeds]
    if launcher := detect_launcher(os.environ, configs[0].launch.devices):
        raise BadInput(f"`seeds` is for one process, not for several of {launcher[0]}; use `seed`")


def _make(folder: Path) -> None:
    if (folder / "config.json").exists():
        raise BadInput(f"`run_dir` {folder} holds a run, and `seeds` needs a folder for several")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"`run_dir` {folder} cannot be written: {error.strerror}") from None
