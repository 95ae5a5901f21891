"""What all parts of the check share: its sizes, its clock, its results, and its processes."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_jax.weights.files.atomic import write_atomically
from benchmarks import children
from benchmarks.children import Finished, Worker
from benchmarks.gpu.sizes import DRY, REAL, Sizes

_ON_A_CPU = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}  # PyTorch's threads spin


class Times(NamedTuple):
    """Moments of the monotonic clock, in seconds."""

    begin: float
    end: float


class Check:
    """One run of the check."""

    def __init__(
        self, out: Path, work: Path, budget: float, *, dry: bool, torch_python: str
    ) -> None:
        """Start the clock.

        Args:
          out: the folder of the results.
          work: a folder for what may be deleted at the end.
          budget: seconds for everything.
          dry: whether a CPU stands for the card.
          torch_python: the interpreter that has PyTorch.
        """
        self.out, self.work, self.dry, self.torch_python = out, work, dry, torch_python
        self.sizes: Sizes = DRY if dry else REAL
        begin = time.monotonic()
        self.times = Times(begin, begin + budget)
        self.part_end = self.times.end
        """When the part that runs has used its share of the time."""
        self.results: dict[str, Any] = {"dry": dry, "failed": {}}
        self.log_path = out / "log.txt"
        self._log = self.log_path.open("w", buffering=1)

    def seconds_left(self) -> float:
        """Return the seconds until the part that runs should end."""
        return self.part_end - time.monotonic()

    def keep(self, name: str, value: Any) -> None:
        """Write results.json with the figures of a part, which may come bit by bit."""
        self.results[name] = value
        self.results["seconds"] = round(time.monotonic() - self.times.begin, 1)
        write_atomically(self.out / "results.json", json.dumps(self.results, indent=1) + "\n")

    def say(self, text: str) -> None:
        """Print a line with the time, and write it into the log."""
        line = f"[{time.monotonic() - self.times.begin:6.1f} s] {text}"
        print(line, flush=True)
        self.log(line)

    def log(self, text: str) -> None:
        """Write into the log alone."""
        print(text, file=self._log)

    def run(self, *command: object, **changes: str) -> Finished:
        """Run a command, which is killed at the end of the part.

        `changes` are of the environment.
        """
        limit = max(1.0, self.seconds_left())
        finished = children.run(command, limit, self._environment(changes))
        words = " ".join(str(word) for word in command)
        self.log(f"$ {words}\n{finished.output}\n{finished.errors}")
        return finished

    def train(self, *flags: object, **changes: str) -> Finished:
        """Run train.main."""
        return self.run(sys.executable, "-m", "train.main", *flags, **changes)

    def worker(self, python: str, module: str, *words: object, **changes: str) -> Worker:
        """Start a worker; what it prints goes to the log."""
        command = [python, "-m", module, *words]
        return Worker(command, self._log, self._environment(changes))

    def ours(self, **changes: str) -> Worker:
        """Start a worker of this package on the card. It shares the memory with the peer."""
        changes = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | changes
        return self.worker(sys.executable, "benchmarks.gpu.our_worker", self.sizes.net, **changes)

    def _environment(self, changes: Mapping[str, str]) -> dict[str, str]:
        changes = {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"} | dict(changes)
        return _ON_A_CPU | changes if self.dry else changes

    def close(self) -> None:
        """Close the log."""
        self._log.close()
