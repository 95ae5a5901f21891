"""The folder that a run lives in: its configuration, versions, commit and mean image."""

import dataclasses
import importlib.metadata
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from train import config as configuration
from train.config import BadInput, Config
from train.data.pipeline import mean_image
from train.data.sources import DataSet

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pillow")


def open_run(config: Config, data: DataSet) -> Config:
    """Make the run's folder, or check that a resumed run is the one in it.

    Returns the configuration with `run_dir` filled in. Raises BadInput if the folder holds
    another run, or other data than the run has seen.
    """
    run_dir = config.run_dir or _new_folder(config.experiment)
    config = dataclasses.replace(config, run_dir=run_dir)
    if config.resume:
        before, now = configuration.read_record(run_dir).get("data"), data.record()
        if before != now:
            raise BadInput(f"{run_dir} holds a run on other data than {config.data}")
        return config
    if (run_dir / "config.json").exists():
        raise BadInput(
            f"--run-dir {run_dir} holds a run already; --resume goes on with it, "
            "another --run-dir keeps it"
        )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        record = {"data": data.record(), "versions": _versions(), "commit": _commit()}
        configuration.save(config, record | {"command": sys.argv})
    except OSError as error:
        raise BadInput(f"--run-dir {run_dir} cannot be written: {error}") from None
    return config


def mean_of(run_dir: Path, data: DataSet) -> np.ndarray:
    """Return the mean training image that the run keeps, computed the first time."""
    path = run_dir / "mean.npy"
    if not path.exists():
        half_written = path.with_suffix(".tmp.npy")
        np.save(half_written, mean_image(data.train))
        half_written.rename(path)
    return read_mean(run_dir)


def read_mean(run_dir: Path) -> np.ndarray:
    """Return the run's mean image, float32 [size, size, 3]. Raises BadInput if it is not there."""
    path = run_dir / "mean.npy"
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None


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
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    except OSError:
        return None
    return head.stdout.strip() + "+" * bool(changes.stdout) if head.returncode == 0 else None
