"""Losses that go wrong: one that stays at chance level, and one that is no longer finite."""

import json
import math

from alexnet_jax.weights.files.atomic import write_atomically

from ..config.errors import Ended
from ..data.examples import example_name
from ..data.pipeline import example_indices
from ..run_dir.checkpoints import Checkpoints
from .build import Run

# Times ln(classes). A network that only guesses has logits with some noise, which raises its loss
# by up to 3 %; a mean 1 % below chance level is real progress already.
_BELOW, _ABOVE = 0.99, 1.03
# Steps to judge by: below 200 the mean of a batch's noise is not small against 1 %, and beyond
# 2,000 a user would wait long for the warning.
_FEWEST, _MOST = 200, 2000


class ChanceLevelMonitor:
    """Warns once when the loss stays at chance level, ln(classes)."""

    def __init__(self, classes: int, steps_per_epoch: float) -> None:
        """Judge by the mean loss over an epoch, but at least 200 and at most 2,000 steps."""
        self.classes = classes
        self.span = round(min(max(steps_per_epoch, _FEWEST), _MOST))
        self._sum, self._count, self._warned = 0.0, 0, False

    def check(self, loss: float) -> str | None:
        """Take the loss of a step. Returns a warning, once, after a span at chance level."""
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._warned or self._count < self.span:
            return None
        mean, chance = self._sum / self.span, math.log(self.classes)
        self._sum, self._count = 0.0, 0
        self._warned = _BELOW * chance < mean < _ABOVE * chance
        if not self._warned:
            return None
        return (
            f"warning: over the last {self.span} steps the loss was {mean:.3f}, and guessing among "
            f"{self.classes} classes gives ln({self.classes}) = {chance:.3f}; some thousand "
            "steps of this can be normal for a deep network, but if it lasts, likely causes are: a "
            "learning rate too high or too low; initial biases (the paper's are 1, Caffe's network "
            "learned with 0.1); initial weights that do not suit the scale of the input, which is "
            "0 to 255 less its mean; labels that do not belong to their images"
        )


class Divergence:
    """Ends a run whose loss or parameters are no longer finite."""

    def __init__(self, run: Run, checkpoints: Checkpoints, *, step: int, position: int) -> None:
        """Take a run that is at `step` and has drawn `position` examples."""
        self.run, self.checkpoints = run, checkpoints
        self._batch_of_step_0 = position // run.config.recipe.batch_size - step - 1

    def at(self, step: int, what: str) -> Ended:
        """Return what ends the run, and write diverged.json into its folder.

        The file lists the examples of the batch that the step has learned from.
        """
        batch = self._batch_of_step_0 + step
        source, size = self.run.data.train, self.run.config.recipe.batch_size
        indices = example_indices(
            len(source),
            seed=self.run.config.recipe.seed,
            numbers=range(batch * size, (batch + 1) * size),
        )
        examples = [{"index": index, "name": example_name(source, index)} for index in indices]
        record = {"what": what, "step": step, "batch": batch, "examples": examples}
        path = self.checkpoints.folder.parent / "diverged.json"
        write_atomically(path, json.dumps(record, indent=1) + "\n")
        return Ended(
            f"stopped: {what}, of batch {batch}, whose images are listed in {path}; "
            f"{last_good_checkpoint(self.checkpoints)}; "
            "a new run with a lower `learning_rate` may help",
            1,
        )


def last_good_checkpoint(checkpoints: Checkpoints) -> str:
    """Return a clause that names the latest checkpoint, once it is written."""
    checkpoints.wait()
    step = checkpoints.latest_step()
    if step is None:
        return "no checkpoint was kept"
    return f"the last good checkpoint is {checkpoints.path(step)}"
