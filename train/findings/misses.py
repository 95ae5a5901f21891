"""Which images a run of a finding misses, kept beside the run."""

from pathlib import Path

import numpy as np

from alexnet_jax.weights.files.atomic import replacing

from ..inference.ensemble import evaluate_together, open_test_images
from ..inference.predictor import open_predictor
from .trials import Trial

Misses = dict[int, np.ndarray]
"""By the number of crops, 1 and perhaps 10: whether each image gets a wrong class, bool [n]"""


def read_or_find_misses(trial: Trial, crops: int = 1, part: str = "test") -> Misses:
    """Return the misses of a run's last checkpoint.

    Args:
      trial: the run.
      crops: 1, or 10 for the mean over ten crops as well.
      part: "test", or "training" for the images that the run learned from, as they are.

    Raises BadInput if the checkpoint or the data cannot be read.
    """
    kinds = (1, 10) if crops == 10 else (1,)
    path = trial.run_dir / f"{part}_misses_{crops}_crops_step_{trial.summary.step}.npy"
    misses = _read(path)
    if misses is None:
        predictor = open_predictor(trial.run_dir, "latest")
        sources = open_test_images([predictor], trial.data, part)
        [results] = evaluate_together([predictor], sources, crops=crops, batch_size=1000)
        misses = np.stack([np.asarray(one.top1_misses, bool) for one in results])
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, misses)
    return dict(zip(kinds, misses, strict=True))


def _read(path: Path) -> np.ndarray | None:
    """Return what was kept; None if there is nothing, or the file is damaged."""
    try:
        return np.load(path)
    except (FileNotFoundError, EOFError, ValueError):
        return None


def error_rates(misses: list[Misses], crops: int) -> list[float]:
    """Return the error of each of several runs, as a fraction."""
    return [float(one[crops].mean()) for one in misses]
