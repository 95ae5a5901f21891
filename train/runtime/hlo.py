"""What a compiled program says of itself: the memory it takes, and what its devices exchange."""

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # programs for machines that are not here are looked at before JAX starts
    from jax.stages import Compiled

BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "f16": 2, "bf16": 2}
BYTES |= {"s16": 2, "u16": 2, "s8": 1, "u8": 1, "pred": 1}

SENT: dict[str, Callable[[int], float]] = {
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda _: 1,
}
"""The part of its result that each of n devices sends, round a ring: the least there is."""


class Memory(NamedTuple):
    """Bytes on each device."""

    arguments: int
    temporaries: int
    results: int  # that do not take the place of arguments

    @property
    def total(self) -> int:
        """All that is there at once, by the compiler's plan."""
        return sum(self)


class Transfer(NamedTuple):
    """An exchange between devices."""

    operation: str
    numbers: int  # in the result on each device
    sent: float  # bytes, from each device


def memory_usage(program: "Compiled") -> Memory | None:
    """Return what XLA's memory analysis says, None where it says nothing."""
    found = program.memory_analysis()
    if found is None:
        return None
    results = found.output_size_in_bytes - found.alias_size_in_bytes
    return Memory(found.argument_size_in_bytes, found.temp_size_in_bytes, results)


def list_transfers(program: "Compiled") -> list[Transfer]:
    """Return the exchanges between devices in one run of a program, in its order.

    One within a loop would count once; the step of training has none there.
    """
    operations = "|".join(f"{kind}(?:-start)?" for kind in SENT)
    lines = re.findall(rf" = (\(.*?\)|\S+) ({operations})\((.*)", program.as_text() or "")
    return [transfer(operation, type, rest) for type, operation, rest in lines]


def transfer(operation: str, type: str, rest: str) -> Transfer:
    """Return the exchange that an instruction is, of its name, its result's type, and the rest.

    As in "all-gather" and "f32[2,3]{1,0}"; a tuple holds several arrays that are exchanged at once.
    """
    kind = operation.removesuffix("-start")
    arrays = [
        (math.prod(map(int, filter(None, numbers.split(",")))), BYTES[of])
        for of, numbers in re.findall(r"(\w+)\[([\d,]*)\]", type)
    ]
    if operation.endswith("-start") and kind != "all-reduce":  # the type has the operand, too
        arrays = [max(arrays)]
    devices = 2 if kind == "collective-permute" else replica_groups(rest).shape[1]
    sent = SENT[kind](devices) * sum(numbers * size for numbers, size in arrays)
    return Transfer(kind, sum(numbers for numbers, _ in arrays), sent)


def replica_groups(rest: str) -> np.ndarray:
    """Return which devices a collective joins, by their places in the mesh, [groups, devices].

    `rest` is of its instruction in a compiled program. Raises ValueError if it does not say.
    """
    if listed := re.search(r"replica_groups=\{(\{.*?\})\}", rest):
        found = re.findall(r"\{([\d,]*)\}", listed[1])
        return np.array([[int(i) for i in group.split(",")] for group in found])
    if named := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", rest):
        sizes = {axis: int(size) for axis, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
        joined = [list(sizes).index(axis) for axis in re.findall(r"'(\w+)'", named[2])]
        places = np.arange(math.prod(sizes.values())).reshape(*sizes.values())
        last = np.moveaxis(places, joined, range(-len(joined), 0))
        return last.reshape(-1, math.prod(last.shape[-len(joined) :]))
    counted = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest)
    if counted is None:
        raise ValueError(f"it does not say which devices it joins: {rest[:80]}")
    shape, sizes, order = ([int(i) for i in (x or "").split(",") if i] for x in counted.groups())
    places = np.arange(math.prod(sizes)).reshape(sizes)
    return places.transpose(order or range(len(sizes))).reshape(shape)
