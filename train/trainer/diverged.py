"""What is kept of a run whose numbers are no longer finite: on which batch that came about."""

import json
from pathlib import Path

from ..data.pipeline import example_indices
from .build import Run


def note_batch(run: Run, step: int, batch: int, what: str) -> Path:
    """Write diverged.json into the run's folder: step, batch and its examples. Returns the path.

    Args:
      run: whose training images they are.
      step: at which it was seen.
      batch: the number, from 0 on, of the batch that the step learned from.
      what: was seen.
    """
    source, size = run.data.train, run.config.recipe.batch_size
    numbers = range(batch * size, (batch + 1) * size)
    indices = example_indices(len(source), seed=run.config.recipe.seed, numbers=numbers)
    examples = [{"index": index, "name": source.name(index)} for index in indices]
    record = {"what": what, "step": step, "batch": batch, "examples": examples}
    path = run.folder / "diverged.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
