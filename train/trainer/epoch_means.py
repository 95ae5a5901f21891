"""Training loss and error of an epoch: means over its steps, which need no second pass."""

from collections.abc import Iterable, Mapping

NAMES = ("loss", "top1_error")


class EpochMeans:
    """Means of the training metrics over the steps since the last epoch ended."""

    def __init__(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Take the metrics of the steps of this epoch that were run before a stop."""
        self._sums, self._count = dict.fromkeys(NAMES, 0.0), 0
        for row in rows:
            self.add(row)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add the metrics of a step; others than those of training steps are passed over."""
        if all(name in metrics for name in NAMES):
            for name in NAMES:
                # As metrics.jsonl keeps them, so that a resumed run has the same means.
                self._sums[name] += float(f"{metrics[name]:.6g}")
            self._count += 1

    def take(self) -> dict[str, float]:
        """Return the means, as `train_loss` and `train_top1_error`, and begin a new epoch.

        Empty if there were no steps.
        """
        sums, count = self._sums, self._count
        self._sums, self._count = dict.fromkeys(NAMES, 0.0), 0
        return {f"train_{name}": total / count for name, total in sums.items()} if count else {}


def first_step(step: int, batch_size: int, images: int) -> int:
    """Return the first step after the last epoch that ended with or before `step`.

    An epoch ends with the step whose batch reaches the last of its `images`.
    """
    epochs = step * batch_size // images
    return -(-epochs * images // batch_size) + 1
