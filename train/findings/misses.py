"""Which images a run of a finding misses, kept beside the run."""

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
    if not path.exists():
        predictor = open_predictor(trial.run_dir, "latest")
        sources = open_test_images([predictor], None, part)
        [results] = evaluate_together([predictor], sources, crops=crops, batch_size=1000)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.stack([np.asarray(one.top1_misses, bool) for one in results]))
    return dict(zip(kinds, np.load(path), strict=True))


def error_rates(misses: list[Misses], crops: int) -> list[float]:
    """Return the error of each of several runs, as a fraction."""
    return [float(one[crops].mean()) for one in misses]
