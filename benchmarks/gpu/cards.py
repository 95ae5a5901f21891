"""What a card can do by its datasheet, and the least time that a step can take on it."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alexnet_jax import Architecture

CONVOLUTIONS, COPIES = 0.6, 0.85
"""The parts of peak arithmetic and bandwidth that an excellent program reaches: an estimate."""


class Card(NamedTuple):
    """Peaks of a datasheet: dense products, without the doubling for sparse ones."""

    gigabytes: float  # per second, of its memory
    float32: float  # TFLOP/s
    tf32: float | None = None  # TFLOP/s; None for a card that has no such products
    bfloat16: float | None = None

    def peak(self, precision: str) -> float | None:
        """Return the TFLOP/s of products at a `--precision`, None if the card has none."""
        if precision == "bfloat16":
            return self.bfloat16
        return self.float32 if precision == "highest" else self.tf32 or self.float32


_HOPPER = {"float32": 67, "tf32": 494.5, "bfloat16": 989}
_AMPERE = {"float32": 19.5, "tf32": 156, "bfloat16": 312}
CARDS = {
    "NVIDIA H200": Card(4800, **_HOPPER),
    "NVIDIA H100 80GB HBM3": Card(3350, **_HOPPER),
    "NVIDIA H100 PCIe": Card(2000, 51, 378, 756),
    "NVIDIA A100-SXM4-80GB": Card(2039, **_AMPERE),
    "NVIDIA A100 80GB PCIe": Card(1935, **_AMPERE),
    "NVIDIA A100-SXM4-40GB": Card(1555, **_AMPERE),
    "NVIDIA A100-PCIE-40GB": Card(1555, **_AMPERE),
    "NVIDIA L4": Card(300, 30.3, 60, 121),
    "Tesla T4": Card(320, 8.1),
}
"""By the name that the driver gives a whole card, from NVIDIA's datasheets."""


class Work(NamedTuple):
    """What a step or a forward pass must do, however it is programmed."""

    operations: float
    bytes: float


def least_work(net: "Architecture", task: str, batch: int, precision: str) -> Work:
    """Return the operations and the bytes of memory traffic of a "train" step or a "forward" pass.

    The backward pass computes two products for each of the forward pass, but none for the input
    of the first layer. Each activation that the backward pass needs is written once and read
    twice, its gradient written and read once. Weights, their copies in bfloat16, gradients and
    velocity are read and written once for each use.
    """
    from benchmarks.step import kept_numbers

    layers = net.layer_info()
    products = sum(info.multiply_accumulates for info in layers)
    first = next(info.multiply_accumulates for info in layers if info.multiply_accumulates)
    parameters, kept = net.parameters, batch * kept_numbers(net)
    size = 2 if precision == "bfloat16" else 4
    if task == "forward":
        return Work(2 * batch * products, size * (parameters + 2 * kept))
    # Float32: forward, backward, gradient twice, weights and velocity twice each. The copies in
    # bfloat16 are one more pass over the weights, and are themselves written and read twice.
    passes = 5 * 4 + 5 * 2 if size == 2 else 8 * 4
    return Work(2 * batch * (3 * products - first), passes * parameters + 5 * size * kept)


def excellent_seconds(work: Work, card: Card, precision: str) -> float | None:
    """Return the seconds of an excellent program: all arithmetic, and then all traffic.

    None for products that the card does not have.
    """
    peak = card.peak(precision)
    if peak is None:
        return None
    arithmetic = work.operations / (1e12 * peak * CONVOLUTIONS)
    return arithmetic + work.bytes / (1e9 * card.gigabytes * COPIES)
