"""What each device sends in a step, and for which layer: a part of the dry run's report."""

import math
from collections.abc import Iterable

from alexnet_jax.dense_layers import shared_layers
from alexnet_jax.layer_specs import Dense, Gather, Output
from alexnet_jax.towers import num_batch_shards

from ..runtime.hlo import Transfer
from ..trainer.build import Run

Row = tuple[str, str]
"""A label and its text."""

Purposes = dict[tuple[str, int], str]
"""What is sent, by the operation and the count of numbers in its result."""


def traffic(run: Run, transfers: Iterable[Transfer]) -> list[Row]:
    """Return what each device sends to others in a step, and for which layer."""
    purposes = _dense_purposes(run) if "dense" in run.mesh.shape else _tower_purposes(run)
    rows, total = [], 0.0
    for transfer in transfers:
        default = f"{transfer.numbers:,} numbers"
        purpose = purposes.get((transfer.operation, transfer.numbers), default)
        rows.append((transfer.operation, f"{amount(transfer.sent)}  {purpose}"))
        total += transfer.sent
    return [*rows, ("total", f"{amount(total)}  in {len(rows)} collectives")]


def _tower_purposes(run: Run) -> Purposes:
    """What towers send to each other."""
    infos = run.architecture.layer_info()
    batch = run.config.recipe.batch_size // num_batch_shards(run.mesh)
    readers: dict[int, list[str]] = {}  # by size: layers with inputs of one size share a line
    for number, info in enumerate(infos):
        if isinstance(info.spec, Gather) and not info.replicated_in:
            reader = next(later.name for later in infos[number:] if later.weight_shape)
            readers.setdefault(batch * math.prod(info.output_shape), []).append(reader)
    classes = run.architecture.classes
    purposes = {("all-reduce", batch * classes): f"the sum of {infos[-1].name}'s logits"}
    for numbers, names in readers.items():
        layers = " or ".join(names)
        purposes["all-gather", numbers] = f"the input of {layers}"
        purposes["reduce-scatter", numbers // 2] = f"the gradient of the input of {layers}"
    return purposes


def _dense_purposes(run: Run) -> Purposes:
    """What the devices of a group that share dense layers send to each other."""
    batch = run.config.recipe.batch_size // num_batch_shards(run.mesh)
    images, purposes = batch * run.mesh.shape["dense"], Purposes()
    readers: dict[int, list[str]] = {}  # by width, as above
    for info in shared_layers(run.architecture).values():
        if isinstance(info.spec, Dense):
            readers.setdefault(info.input_shape[0], []).append(info.name)
        elif isinstance(info.spec, Output):
            [width] = info.output_shape
            purposes["reduce-scatter", batch * width] = f"the sum of {info.name}'s logits"
            purposes["all-gather", images * width] = f"the gradient of {info.name}'s logits"
    for width, names in readers.items():
        layers = " or ".join(names)
        purposes["all-gather", images * width] = f"the input of {layers}"
        purposes["reduce-scatter", batch * width] = f"the gradient of the input of {layers}"
    return purposes


def amount(count: float) -> str:
    """Return a number of bytes as "121.9 MB", a small one as "20.4 kB"."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
