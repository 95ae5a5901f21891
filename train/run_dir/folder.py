"""The folder that a run lives in: its configuration, versions, commit and image statistics."""

import importlib.metadata
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture
from alexnet_jax.towers import local_batch_slice

from ..config import saved
from ..config.config import Config
from ..config.errors import BadInput
from ..data.dataset import DataSet
from ..data.formats import manifest
from ..data.image_statistics import (
    COLORS,
    MEAN,
    ImageStatistics,
    measure_statistics,
    read_statistics,
    with_channel_mean,
    write_statistics,
)
from ..runtime.distributed import barrier, is_main_process

_LARGEST = 2**14
"""Pixels square, 0.8 GB: larger pictures are refused as well."""
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def make_folder(config: Config) -> Path:
    """Make the folder that the run is to live in, unless it is there. Returns it.

    Raises BadInput if that cannot be done, or it holds a run that is not to be resumed.
    """
    run_dir = config.launch.run_dir or _new_folder(config.recipe.experiment)
    _refuse_another(config, run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--run-dir {run_dir} cannot be written: {error}") from None
    return run_dir


def open_run(config: Config, data: DataSet) -> Config:
    """Begin a run in its folder, or check that a resumed run is the one in it.

    Returns the configuration with `stored_size` filled in. Raises BadInput if the folder holds
    another run, or other data than the run has seen.
    """
    assert config.launch.run_dir is not None
    run_dir = config.launch.run_dir
    stored = stored_size(
        config, get_architecture(config)
    )  # what it follows from may not be there later
    config = config.replace(stored_size=stored)
    if is_main_process():
        _write(config, run_dir, data)
    barrier("the folder of the run")
    return config


def _write(config: Config, run_dir: Path, data: DataSet) -> None:
    record = {"versions": _versions(), "commit": _commit(), "command": sys.argv}
    _refuse_another(config, run_dir)  # which may have begun since the folder was made
    if config.launch.resume:
        record = saved.read_record(run_dir)
        check_data(run_dir, data)
    try:
        saved.save_config(config, record | {"data": data.record()})
    except OSError as error:
        raise BadInput(f"--run-dir {run_dir} cannot be written: {error}") from None


def _refuse_another(config: Config, run_dir: Path) -> None:
    there = (run_dir / "config.json").exists() or (run_dir / "checkpoints").exists()
    if there and not config.launch.resume:
        raise BadInput(
            f"--run-dir {run_dir} holds a run already; --resume goes on with it, "
            "another --run-dir keeps it"
        )


def check_data(run_dir: Path, data: DataSet) -> None:
    """Raise BadInput unless the data have the run's classes; say it if there are more or fewer."""
    before, now = saved.read_record(run_dir)["data"], data.record()
    if before["class_names"] != now["class_names"]:
        raise BadInput(f"{run_dir} holds a run on other data, whose classes have other names")
    if _counts(before) != _counts(now):  # a broken picture may have been taken out
        print(f"note: {run_dir} began with {_counts(before)}; there are {_counts(now)} now")


def _counts(record: dict[str, Any]) -> str:
    return f"{record.get('train')} training and {record.get('test')} test images"


def get_architecture(config: Config) -> Architecture:
    """Return the net that the configuration names, with its own number of classes."""
    try:
        return alexnet_jax.architectures.by_name(config.recipe.net)
    except ValueError as error:
        raise BadInput(f"--net: {error}") from None


def make_run_mesh(architecture: Architecture, devices: int) -> Mesh:
    """Return the mesh for `devices`. Raises BadInput if the net's towers cannot lie on so many."""
    try:
        return alexnet_jax.make_mesh(devices, architecture.towers)
    except ValueError as error:
        raise BadInput(f"--devices {devices}: {architecture.name}: {error}") from None


def make_checked_mesh(config: Config, architecture: Architecture) -> Mesh:
    """Return the mesh of a run. Raises BadInput if it cannot hold the towers or divide a batch."""
    mesh = make_run_mesh(architecture, config.launch.devices)
    try:
        local_batch_slice(mesh, config.recipe.batch_size)
    except ValueError as error:
        raise BadInput(f"--batch-size {config.recipe.batch_size}: {error}") from None
    return mesh


def stored_size(config: Config, architecture: Architecture) -> int:
    """Return the pixels square that images are brought to before they are cropped.

    Records are not enlarged unless --stored-size says so. Raises BadInput if they are too small.
    """
    size = architecture.image_sizes[0]
    stored = config.recipe.stored_size or math.ceil(size * 8 / 7)
    if stored < size:
        raise BadInput(
            f"--stored-size {stored} is smaller than {config.recipe.net}'s input, {size}"
        )
    if stored > _LARGEST:
        raise BadInput(f"images of {stored} pixels square are too large: {_LARGEST} is the most")
    if config.recipe.stored_size or not _holds_records(config):
        return stored
    assert config.data.path is not None
    kept = manifest.read(config.data.path).size
    if kept < size:
        raise BadInput(
            f"{config.data.path} holds pictures of {kept} pixels, and {config.recipe.net}'s input has {size}; "
            f"--stored-size {stored} enlarges them"
        )
    return min(stored, kept)


def _holds_records(config: Config) -> bool:
    known = config.data.kind in ("auto", "records")
    return config.data.path is not None and known and manifest.exists(config.data.path)


def load_or_measure_statistics(
    run_dir: Path, data: DataSet, *, mean: str = "image"
) -> ImageStatistics:
    """Return the statistics of the training images that the run keeps, taken the first time.

    They are those that came with the data or else measured here; with the `mean` "channel" each
    pixel has that of its color over all pixels.
    """
    if is_main_process() and not all((run_dir / name).exists() for name in (MEAN, COLORS)):
        found = data.statistics or measure_statistics(data.train)
        write_statistics(run_dir, with_channel_mean(found) if mean == "channel" else found)
    barrier("the statistics")
    return read_statistics(run_dir, len(data.train[0]["image"]))


def _new_folder(experiment: str) -> Path:
    name = f"{experiment}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(2, 100):
        folder = Path("runs", name)
        if not folder.exists():
            return folder
        name = f"{name.rsplit('.', 1)[0]}.{number}"
    raise BadInput("runs holds too many runs of this second; name one with --run-dir")


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **versions}


def _commit() -> str | None:
    """The commit of this checkout, with a plus if files differ from it; None without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        mine = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True)
        if mine.returncode:
            return None  # installed somewhere inside another project's checkout
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    return head.stdout.strip() + "+" * bool(changes.stdout) if head.returncode == 0 else None
