"""The folder of a run: its configuration, versions, commit and image statistics."""

import importlib.metadata
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..config.config import Config
from ..config.errors import BadInput
from ..config.network import get_architecture
from ..config.saved import read_record, save_config
from ..data.examples import DataSet, ImageStatistics
from ..data.image_statistics import (
    COLORS,
    MEAN,
    measure_statistics,
    read_statistics,
    with_channel_mean,
    write_statistics,
)
from ..data.stored_size import stored_resize, stored_size
from ..data.validation import share_taken
from ..runtime.arithmetic import Arithmetic
from ..runtime.distributed import barrier, is_main_process
from .links import refuse_links
from .open_folder import WRITTEN, OpenFolder
from .same_data import check_data, check_validation

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")
"""Their versions are kept with a run, because its numbers depend on them."""


def make_folder(config: Config, *, own_data: bool = False) -> OpenFolder:
    """Make the folder of a run, unless it exists, and return it.

    Args:
      config: of the run.
      own_data: whether the data are objects of a caller of `train`.

    Raises BadInput if it cannot be made, if it holds a run that is not to be resumed, or a link
    through which the run would write elsewhere.
    """
    run_dir = config.launch.run_dir or choose_folder(config.recipe.experiment)
    if not _is_unicode(run_dir):
        raise BadInput(f"`run_dir` {run_dir} is no Unicode, which checkpoints need")
    refuse_links(run_dir)
    _refuse_existing_run(config, run_dir)
    _refuse_foreign_files(config, run_dir)
    made = not run_dir.exists()
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"`run_dir` {run_dir} cannot be written: {error.strerror}") from None
    return OpenFolder(run_dir, made=made, own_data=own_data)


def choose_folder(prefix: str) -> Path:
    """Return a new folder in runs/, "runs/PREFIX-20261122-120000". Raises BadInput."""
    name = f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(2, 100):
        folder = Path("runs", name)
        if not folder.exists():
            return folder
        name = f"{name.rsplit('.', 1)[0]}.{number}"
    raise BadInput("runs holds too many runs of this second; `run_dir` names another folder")


def open_run(config: Config, data: DataSet) -> Config:
    """Check the folder of a run that is about to start or to be resumed.

    Statistics that a run left there which ended before its first step are deleted.

    Returns the configuration with its `stored_size`, `resize` and `validation`. Raises BadInput if
    the folder holds another run, or the resumed run has learned from other data.
    """
    run_dir = config.launch.run_dir
    assert run_dir is not None
    # Keep these themselves: the records that they may depend on can be elsewhere later.
    config = config.replace(
        stored_size=stored_size(config, get_architecture(config)),
        resize=stored_resize(config),
        validation=share_taken(data, config.recipe.validation),
    )
    if is_main_process():
        _refuse_existing_run(config, run_dir)  # again: one may have started in the meantime
        if config.launch.resume:
            check_data(run_dir, data)
            check_validation(config, data)
        else:
            for name in (MEAN, COLORS):  # they may be of other data
                (run_dir / name).unlink(missing_ok=True)
    barrier("the folder of the run")
    return config


def record_run(config: Config, data: DataSet, arithmetic: Arithmetic) -> None:
    """Write config.json. Raises BadInput if that is impossible."""
    run_dir = config.launch.run_dir
    assert run_dir is not None
    record: dict[str, Any] = {"versions": _versions(), "commit": _commit(), "command": sys.argv}
    of_data = data.record()
    if config.launch.resume:
        record = read_record(run_dir)
        of_data.pop("drawn_test", None)  # the run has learned from what was not drawn at first
        if "drawn_test" in record["data"]:
            of_data["drawn_test"] = record["data"]["drawn_test"]
    before = _recorded_arithmetic(record)
    if not before or before[-1][1:] != arithmetic[1:]:
        record["arithmetic"] = [one._asdict() for one in (*before, arithmetic)]
    try:
        save_config(config, record | {"data": of_data})
    except OSError as error:
        raise BadInput(f"`run_dir` {run_dir} cannot be written: {error}") from None


def arithmetic_note(run_dir: Path, now: Arithmetic) -> str | None:
    """Return a sentence if the products of a resumed run are made in something else from now on."""
    before = _recorded_arithmetic(read_record(run_dir))
    if not before or before[-1].products == now.products:
        return None
    return (
        f"note: until now the products of {run_dir} were made in {before[-1].products}, on "
        f"{before[-1].device}; from here on they are made in {now.products}, on {now.device}"
    )


def _recorded_arithmetic(record: dict[str, Any]) -> list[Arithmetic]:
    """The arithmetic of a run so far; none of runs from before it was recorded."""
    try:
        return [Arithmetic(**one) for one in record.get("arithmetic", [])]
    except TypeError:
        return []  # not as `record_run` writes it


def _refuse_existing_run(config: Config, run_dir: Path) -> None:
    holds_run = (run_dir / "config.json").exists() or any((run_dir / "checkpoints").glob("*"))
    if holds_run and not config.launch.resume:
        raise BadInput(
            f"`run_dir` {run_dir} holds a run already; `resume` continues it, "
            "another `run_dir` keeps it"
        )


def _refuse_foreign_files(config: Config, run_dir: Path) -> None:
    # A run that ended before its first step has left some of these, and its lock.
    foreign = [name for name in WRITTEN if (run_dir / name).exists()]
    if foreign and not config.launch.resume and "lock" not in foreign:
        raise BadInput(
            f"`run_dir` {run_dir} holds files that no run has left, and that a run would replace: "
            f"{', '.join(foreign)}; another `run_dir` keeps them"
        )


def load_or_measure_statistics(
    run_dir: Path, data: DataSet, *, mean: str = "image"
) -> ImageStatistics:
    """Return the statistics of the training images in the run folder, written on the first call.

    The statistics come with the data, or else are measured.

    Args:
      run_dir: the folder of the run.
      data: whose training images they are of.
      mean: "image", or "channel" for one mean for each of red, green and blue.
    """
    if is_main_process() and not all((run_dir / name).exists() for name in (MEAN, COLORS)):
        statistics = data.statistics or measure_statistics(data.train)
        if mean == "channel":
            statistics = with_channel_mean(statistics)
        write_statistics(run_dir, statistics)
    barrier("the statistics")
    return read_statistics(run_dir, len(data.train[0]["image"]))


def _is_unicode(path: Path) -> bool:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **versions}


def _commit() -> str | None:
    """Return the commit of this checkout, with a plus if files differ from it; None without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], capture_output=True
        )
        if tracked.returncode:
            return None  # installed in a folder inside another project's checkout
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    return head.stdout.strip() + "+" * bool(changes.stdout) if head.returncode == 0 else None
