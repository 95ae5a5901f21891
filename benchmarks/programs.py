"""Compiled programs as lists of instructions: what runs how often, and what devices send."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from train.runtime.hlo import SENT, parse_transfer, replica_groups

if TYPE_CHECKING:  # JAX itself waits until the environment is prepared
    from jax.sharding import Mesh

    from alexnet_jax import Architecture


class Instruction(NamedTuple):
    """One instruction of a compiled program, and how often a step runs it."""

    name: str
    type: str
    op: str
    operands: list[str]
    rest: str
    rounds: float = 1  # not a number if a loop does not say

    @property
    def cycles(self) -> float:
        """The TPU compiler's estimate for all rounds; 0 if it has none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return self.rounds * int(found[1]) if found else 0

    @property
    def collective(self) -> str | None:
        """Which collective operation this is, or begins."""
        op = self.op.removesuffix("-start")
        return op if op in SENT else None

    @property
    def groups(self) -> np.ndarray:
        """Which devices a collective joins, by their places in the mesh, [groups, devices]."""
        return replica_groups(self.rest)

    @property
    def sent(self) -> float:
        """The bytes that each device sends in a collective round a ring, in all rounds."""
        return self.rounds * parse_transfer(self.op, self.type, self.rest).sent


def instructions(hlo: str) -> list[Instruction]:
    """Return all that a step runs, those of the entry computation last."""
    bodies: dict[str, list[Instruction]] = {}
    name = entry = ""
    pattern = re.compile(r" +(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w-]+)\(([^)]*)\)(.*)")
    for line in hlo.splitlines():
        if found := re.match(r"(ENTRY )?%(\S+) \(.*\{$", line):
            name = found[2]
            entry = name if found[1] else entry
        elif found := pattern.match(line):
            operands = re.findall(r"%([^\s,]+)", found[4]) or [found[4]]
            made = Instruction(found[1], found[2], found[3], operands, found[5])
            bodies.setdefault(name, []).append(made)

    def run(name: str, rounds: float) -> list[Instruction]:
        within = []
        for made in bodies[name]:
            trips: float = 1
            if made.op == "while":
                [condition] = re.findall(r"condition=%([\w.\-]+)", made.rest)
                found = [i.operands[0] for i in bodies[condition] if i.op == "constant"]
                trips = int(found[0]) if len(found) == 1 else float("nan")
            called = "body|calls|to_apply" if made.op == "call" else "body|calls"
            for body in re.findall(rf"(?:{called})=%([\w.\-]+)", made.rest):
                within += run(body, rounds * trips)
        return within + [made._replace(rounds=rounds) for made in bodies[name]]

    return run(entry, 1)


def lowered_step(net: "Architecture", batch: int, mesh: "Mesh", precision: str = "float32"):
    """Lower the very step of `train.main` for the mesh, out of shapes alone."""
    import jax
    import jax.numpy as jnp

    from train.config.config import Config
    from train.data.stored_size import stored_size
    from train.steps.optimizers import sgd
    from train.steps.schedules import constant
    from train.steps.train_step import abstract_batch, init_state, make_train_step

    stored, optimizer = stored_size(Config(), net), sgd()
    state = jax.eval_shape(lambda: init_state(jax.random.key(0), net, optimizer))
    # Of a mean whose pixels are equal, the compiler would see that it need not be cut.
    mean = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (stored, stored, 3)), jnp.float32)
    recipe: Any = {"schedule": constant(0.01), "key": jax.random.key(1), "flip": True}
    step: Any = make_train_step(net, optimizer, mean, **recipe, mesh=mesh, precision=precision)
    return step.lower(state, abstract_batch(batch, stored))
