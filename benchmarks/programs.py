"""Compiled programs as lists of instructions, how often each runs, what devices send; tables."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from train.runtime.hlo import SENT, parse_transfer, replica_groups

if TYPE_CHECKING:  # JAX itself waits until the environment is prepared
    from jax.sharding import Mesh

    from alexnet_jax import Architecture


NO_WORK = ("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while", "call")
"""Instructions that a device does nothing for, apart from what they call."""


class Instruction(NamedTuple):
    """One instruction of a compiled program, and how often a step runs it."""

    name: str
    type: str
    op: str
    operands: list[str]
    rest: str
    rounds: float = 1  # NaN if the trip count of a loop is unknown

    @property
    def cycles(self) -> float:
        """The TPU compiler's estimate for all rounds; 0 if it has none."""
        estimate = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return self.rounds * int(estimate[1]) if estimate else 0

    @property
    def collective(self) -> str | None:
        """The collective operation that this is or starts, None if neither."""
        op = self.op.removesuffix("-start")
        return op if op in SENT else None

    @property
    def groups(self) -> np.ndarray:
        """The groups of devices in a collective, by index in the mesh: [groups, devices]."""
        return replica_groups(self.rest)

    @property
    def sent(self) -> float:
        """The bytes that each device sends in all rounds, if the collective runs as a ring."""
        return self.rounds * parse_transfer(self.op, self.type, self.rest).sent


def computations(hlo: str) -> dict[str, list[Instruction]]:
    """Return the instructions of each computation, the entry computation last."""
    bodies: dict[str, list[Instruction]] = {}
    name = entry = ""
    pattern = re.compile(r" +(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)\)(.*)")
    for line in hlo.splitlines():
        if match := re.match(r"(ENTRY )?%(\S+) \(.*\{$", line):
            name = match[2]
            entry = name if match[1] else entry
        elif match := pattern.match(line):
            operands = re.findall(r"%([^\s,]+)", match[4]) or [match[4]]
            instruction = Instruction(match[1], match[2], match[3], operands, match[5])
            bodies.setdefault(name, []).append(instruction)
    bodies[entry] = bodies.pop(entry)
    return bodies


def instructions(hlo: str, *, in_fusions: bool = True) -> list[Instruction]:
    """Return all instructions that a step runs, those of the entry computation last.

    Without `in_fusions`, a fusion is one instruction.
    """
    bodies = computations(hlo)

    def expand(name: str, rounds: float) -> list[Instruction]:
        called = []
        for instruction in bodies[name]:
            trips: float = 1
            if instruction.op == "while":
                [condition] = re.findall(r"condition=%([\w.\-]+)", instruction.rest)
                constants = [i.operands[0] for i in bodies[condition] if i.op == "constant"]
                trips = int(constants[0]) if len(constants) == 1 else float("nan")
            keys = ["body"] + ["calls"] * in_fusions + ["to_apply"] * (instruction.op == "call")
            for body in re.findall(rf"(?:{'|'.join(keys)})=%([\w.\-]+)", instruction.rest):
                called += expand(body, rounds * trips)
        return called + [instruction._replace(rounds=rounds) for instruction in bodies[name]]

    return expand([*bodies][-1], 1)


def lowered_step(
    net: "Architecture",
    batch: int,
    mesh: "Mesh",
    precision: str = "float32",
    *,
    platform: str | None = None,
):
    """Lower the step of `train.main` for the mesh, from shapes alone.

    `platform`, as "cuda", takes the place of the mesh's own; nothing can compile the result.
    """
    import jax
    import jax.numpy as jnp

    from train.config.config import Config
    from train.data.stored_size import stored_size
    from train.steps.optimizers import sgd
    from train.steps.schedules import constant
    from train.steps.train_step import abstract_batch, init_state, make_train_step

    stored, optimizer = stored_size(Config(), net), sgd()
    state = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    # If all pixels of the mean were equal, the compiler could leave out its crop.
    mean = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (stored, stored, 3)), jnp.float32)
    recipe: Any = {"schedule": constant(0.01), "key": jax.random.key(1), "flip": True}
    step: Any = make_train_step(net, optimizer, mean, **recipe, mesh=mesh, precision=precision)
    platforms = None if platform is None else (platform,)
    return step.trace(state, abstract_batch(batch, stored)).lower(lowering_platforms=platforms)


def collectives(hlo: str) -> list[tuple[Instruction, list[Instruction]]]:
    """Return each collective, with what the device runs between its start and its end.

    That is nothing for a synchronous one. Instructions are in the order of their execution.
    """
    found = []
    for body in computations(hlo).values():
        for place, start in enumerate(body):
            if start.collective:
                ends = (
                    later
                    for later in range(place, len(body))
                    if body[later].op.endswith("-done") and start.name in body[later].operands
                )
                found.append((start, body[place + 1 : next(ends, place)]))
    return found


def megabytes_sent(hlo: str) -> dict[str, float]:
    """Return what each device sends in all its collectives, and the part sent while it computes."""
    sent, overlapped = 0.0, 0.0
    for start, between in collectives(hlo):
        sent += start.sent
        computes = any(
            not (i.op in NO_WORK or i.op.endswith("-done") or i.collective) for i in between
        )
        overlapped += start.sent if computes else 0
    return {"MB sent": sent / 1e6, "of these, while it computes": overlapped / 1e6}


def arrays(type: str) -> str:
    """Return the arrays of an instruction's type, without their layouts."""
    return " ".join(re.findall(r"\w+\[[\d,]*\]", type))


def report(title: str, results: dict[str, dict[str, Any]], *, lists: str, decimals: int) -> None:
    """Print a column of figures for each variant, and then the list of each.

    Args:
      title: of the table.
      results: figures by name, of each variant.
      lists: the name among the figures of the list, such as "slowest".
      decimals: of the figures that are not whole numbers.
    """
    table = Table(title=title)
    table.add_column("")
    for variant in results:
        table.add_column(variant.replace("-", "\n"), justify="right")
    names = dict.fromkeys(name for result in results.values() for name in result)
    for name in [name for name in names if name != lists]:
        cells = (result.get(name, 0) for result in results.values())
        table.add_row(
            name, *(f"{c:,.{decimals}f}" if isinstance(c, float) else str(c) for c in cells)
        )
    Console(width=110).print(table)
    for variant, result in results.items():
        print(f"{variant}, {lists}:", *result[lists], sep="\n  ")
