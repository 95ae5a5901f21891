"""Read a compiled program (HLO): the memory it takes, and the transfers between its devices."""

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # benchmarks.tpu reads programs for other machines before it starts JAX
    from jax.stages import Compiled

BYTES_PER_NUMBER = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "f16": 2, "bf16": 2}
BYTES_PER_NUMBER |= {"s16": 2, "u16": 2, "s8": 1, "u8": 1, "pred": 1}

SENT: dict[str, Callable[[int], float]] = {
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda _: 1,
}
"""By operation: the share of its result that each of n devices sends in a ring, the minimum."""


class Memory(NamedTuple):
    """Bytes on each device."""

    arguments: int
    temporaries: int
    results: int  # apart from those that reuse the memory of arguments

    @property
    def total(self) -> int:
        """The bytes in use at once, by the compiler's plan."""
        return sum(self)


class Transfer(NamedTuple):
    """One collective operation."""

    operation: str
    numbers: int  # count, in the result on each device
    sent: float  # bytes, by each device


def memory_usage(program: "Compiled") -> Memory | None:
    """Return the result of XLA's memory analysis, None on a platform without one."""
    analysis = program.memory_analysis()
    if analysis is None:
        return None
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return Memory(analysis.argument_size_in_bytes, analysis.temp_size_in_bytes, results)


def list_transfers(program: "Compiled") -> list[Transfer]:
    """Return the transfers of one execution of a program, in its order.

    A transfer in a loop would count once, but the training step has none there.
    """
    operations = "|".join(f"{kind}(?:-start)?" for kind in SENT)
    lines = re.findall(rf" = (\(.*?\)|\S+) ({operations})\((.*)", program.as_text() or "")
    return [parse_transfer(operation, type, rest) for type, operation, rest in lines]


def parse_transfer(operation: str, type: str, rest: str) -> Transfer:
    """Parse one instruction.

    Args:
      operation: as "all-gather" or "all-gather-start".
      type: of the result, as "f32[2,3]{1,0}"; a tuple holds arrays that are transferred together.
      rest: of the line, which names the devices.
    """
    kind, nested = operation.removesuffix("-start"), type.startswith("((")
    if nested:  # operands, results, as XLA writes it for GPUs
        type = type.partition("), ")[2]
    arrays = [
        (math.prod(map(int, filter(None, sizes.split(",")))), BYTES_PER_NUMBER[dtype])
        for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", type)
    ]
    if operation.endswith("-start") and kind != "all-reduce" and not nested:
        # The tuple holds the operand too, which is the smaller one.
        arrays = [max(arrays)]
    devices = 2 if kind == "collective-permute" else replica_groups(rest).shape[1]
    sent = SENT[kind](devices) * sum(numbers * size for numbers, size in arrays)
    return Transfer(kind, sum(numbers for numbers, _ in arrays), sent)


def replica_groups(rest: str) -> np.ndarray:
    """Return the devices that a collective joins, by their positions in the mesh.

    Args:
      rest: of its instruction in a compiled program.

    Returns:
      [groups, devices per group].

    Raises ValueError if the instruction does not say.
    """
    if listed := re.search(r"replica_groups=\{(\{.*?\})\}", rest):
        groups = re.findall(r"\{([\d,]*)\}", listed[1])
        return np.array([[int(i) for i in group.split(",")] for group in groups])
    if named := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", rest):
        sizes = {axis: int(size) for axis, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
        joined = [list(sizes).index(axis) for axis in re.findall(r"'(\w+)'", named[2])]
        positions = np.arange(math.prod(sizes.values())).reshape(*sizes.values())
        joined_last = np.moveaxis(positions, joined, range(-len(joined), 0))
        return joined_last.reshape(-1, math.prod(joined_last.shape[-len(joined) :]))
    iota = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest)
    if iota is None:
        raise ValueError(f"a collective does not say which devices it joins: {rest[:80]}")
    shape, sizes, order = ([int(i) for i in (x or "").split(",") if i] for x in iota.groups())
    positions = np.arange(math.prod(sizes)).reshape(sizes)
    return positions.transpose(order or range(len(sizes))).reshape(shape)
