"""The programs that are timed against each other, and the figures of each."""

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.gpu.cards import CARDS, excellent_seconds, least_work
from benchmarks.gpu.sizes import Sizes

if TYPE_CHECKING:
    from alexnet_jax import Architecture


class Variant(NamedTuple):
    """One program to time."""

    side: str  # "ours" or "torch"
    task: str  # "train" or "forward"
    batch: int
    precision: str
    how: str

    @property
    def key(self) -> str:
        """Its name in results and requests."""
        return " ".join(map(str, self))

    def rivals(self, row: dict[str, Any]) -> bool:
        """Return whether a row of the table is of the other side, and of the same task."""
        same = (self.task, self.batch, self.precision)
        return row["side"] != self.side and same == (row["task"], row["batch"], row["precision"])


def variants(sizes: Sizes) -> Iterator[Variant]:
    """Yield all variants, the most important ones first: the time may not suffice for all."""
    first, *others = sizes.batches
    quick = [precision for precision in sizes.precisions if precision != "highest"]
    slow = [precision for precision in sizes.precisions if precision == "highest"]
    order = [(("train", "forward"), [first], quick), (("train",), others, quick)]
    order += [(("train", "forward"), [first], slow), (("forward",), others, quick)]
    order += [(("train", "forward"), others, slow)]
    for tasks, batches, names in order:
        for task, batch, precision in ((t, b, p) for t in tasks for b in batches for p in names):
            several = batch == first
            for how in sizes.our_ways if several and task == "train" else sizes.our_ways[:1]:
                yield Variant("ours", task, batch, precision, how)
            for how in sizes.torch_ways if several else sizes.torch_ways[:1]:
                yield Variant("torch", task, batch, precision, how)


def figures(
    variant: Variant,
    turns: Sequence[dict[str, float]],
    net: "Architecture",
    device_kind: str,
) -> dict[str, Any]:
    """Return a row of the table: times in milliseconds, and shares of what the card can do."""
    together = [1e3 * turn["seconds"] for turn in turns]
    median = statistics.median(together)
    row = variant._asdict() | {
        "ms": round(median, 4),
        "ms_from_to": [round(min(together), 4), round(max(together), 4)],
        "rounds": len(turns),
        "alone_ms": round(1e3 * statistics.median(turn["alone"] for turn in turns), 4),
        "images_per_second": round(1e3 * variant.batch / median, 1),
    }
    work = least_work(net, variant.task, variant.batch, variant.precision)
    row["TFLOP_per_s"] = round(work.operations / median / 1e9, 4)
    card = CARDS.get(device_kind)
    peak, excellent = (None, None)
    if card is not None:
        peak = card.peak(variant.precision)
        excellent = excellent_seconds(work, card, variant.precision)
    if card is None or peak is None or excellent is None:
        return row
    return row | {
        "of_peak_products": round(row["TFLOP_per_s"] / peak, 3),
        "of_peak_bandwidth": round(work.bytes / median / 1e6 / card.gigabytes, 3),
        "excellent_images_per_second": round(variant.batch / excellent),
        "of_excellent": round(1e3 * excellent / median, 3),
    }


def variant_of(row: dict[str, Any]) -> Variant:
    """Return the variant that a row of the table is about."""
    return Variant(*(row[name] for name in Variant._fields))


def ratios(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each task that both sides run, our speed in terms of PyTorch's best."""
    found = []
    for row in (row for row in table if row["side"] == "ours"):
        ours = variant_of(row)
        if peers := [other for other in table if ours.rivals(other)]:
            best = min(peers, key=lambda other: other["ms"])
            ratio = round(best["ms"] / row["ms"], 3)
            names = ("task", "batch", "precision", "how")
            found.append({name: row[name] for name in names} | {"x": ratio, "best": best["how"]})
    return found
