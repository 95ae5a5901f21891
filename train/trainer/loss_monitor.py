"""A loss that stays where guessing would leave it, which is asked about more than all else."""

import math

_BELOW, _ABOVE = 0.99, 1.03  # times ln(classes); a net that only predictions is above by its noise
_FEWEST, _MOST = 200, 2000  # steps to judge by


class StuckLoss:
    """Watches the losses of a run, and says once that they stay near ln(classes)."""

    def __init__(self, classes: int, steps_per_epoch: float) -> None:
        """Judge by the mean over an epoch, of a very short or long one by 200 or 2,000 steps."""
        self.classes = classes
        self.span = round(min(max(steps_per_epoch, _FEWEST), _MOST))
        self._sum, self._count, self._said = 0.0, 0, False

    def after(self, loss: float) -> str | None:
        """Take the loss of a step. Returns a warning, once, behind a span of them without gain."""
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._said or self._count < self.span:
            return None
        mean, guessing = self._sum / self.span, math.log(self.classes)
        self._sum, self._count = 0.0, 0
        self._said = _BELOW * guessing < mean < _ABOVE * guessing
        if not self._said:
            return None
        return (
            f"warning: over the last {self.span} steps the loss was {mean:.3f}, and guessing among "
            f"{self.classes} classes gives ln({self.classes}) = {guessing:.3f}; some thousand "
            "steps of this can be normal for a deep net, but if it lasts, likely causes are: a "
            "learning rate too high or too low; initial biases (the paper's are 1, Caffe's net "
            "learned with 0.1); initial weights that do not suit the scale of the input, which is "
            "0 to 255 less its mean; labels that do not belong to their pictures"
        )
