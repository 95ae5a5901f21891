"""What a compiled program says of itself: the memory it takes, and what its devices exchange."""

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # programs for machines that are not here are looked at before JAX starts
    from jax.stages import Compiled

BYTES = {"f64": 8, "s64": 8, "u64": 8, "f32": 4, "s32": 4, "u32": 4, "f16": 2, "bf16": 2}
BYTES |= {"s16": 2, "u16": 2, "s8": 1, "u8": 1, "pred": 1}

# The part of its result that each of two devices sends to the other.
SENT = {"all-gather": 0.5, "reduce-scatter": 1, "all-reduce": 1, "collective-permute": 1}


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
    """An exchange between two devices."""

    operation: str
    numbers: int  # in the result on each device
    sent: float  # bytes, from each device to the other


def memory_of(program: "Compiled") -> Memory | None:
    """Return what XLA's memory analysis says, None where it says nothing."""
    found = program.memory_analysis()
    if found is None:
        return None
    results = found.output_size_in_bytes - found.alias_size_in_bytes
    return Memory(found.argument_size_in_bytes, found.temp_size_in_bytes, results)


def transfers_of(program: "Compiled") -> list[Transfer]:
    """Return the exchanges between two devices in one run of a program, in its order.

    One within a loop would count once; the step of training has none there.
    """
    operations = "|".join(f"{kind}(?:-start)?" for kind in SENT)
    found = re.findall(rf" = (\(.*?\)|\S+) ({operations})\(", program.as_text() or "")
    return [transfer(operation, type) for type, operation in found]


def transfer(operation: str, type: str) -> Transfer:
    """Return the exchange that an instruction is, of its name and the type of its result.

    As in "all-gather" and "f32[2,3]{1,0}"; a tuple holds several arrays that are exchanged at once.
    """
    kind = operation.removesuffix("-start")
    arrays = [
        (math.prod(map(int, filter(None, numbers.split(",")))), BYTES[of])
        for of, numbers in re.findall(r"(\w+)\[([\d,]*)\]", type)
    ]
    if operation.endswith("-start") and kind != "all-reduce":  # the type has the operand, too
        arrays = [max(arrays)]
    sent = SENT[kind] * sum(numbers * size for numbers, size in arrays)
    return Transfer(kind, sum(numbers for numbers, _ in arrays), sent)
