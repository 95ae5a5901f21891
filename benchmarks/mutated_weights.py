"""Damaged and hostile files of weights in every format: `python -m benchmarks.mutated_weights`.

Each file is read in a process whose time and memory are watched. It must be read, or refused in one
sentence, within --seconds and --megabytes: anything else fails the run. A file is made from the
seed and its number alone, so `--first N --files 1 --crafted 0` repeats one. The files are written
by the tests' own writers, so this needs a checkout.
"""

import argparse
import collections
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from alexnet_jax import weights
from tests.support import crafted_files, mutations, weight_files

MAX_SENTENCE = 450  # characters, with the path
_SLOW = ("MATLAB 7.3",)  # read a tenth as often: h5py takes 0.2 s for a file
_PATIENCE = 12  # of the processor time, in seconds that pass: the machine may be busy
_START = 120.0  # seconds that a process may take to begin


def outcome(read: Callable[[], object]) -> str:
    """Return "read" or "refused", or what is wrong with the way in which a file was refused."""
    try:
        read()
    except ValueError as error:
        sentence, cause = str(error), error.__cause__
        if isinstance(cause, MemoryError):
            return "FAULT: it asked for more memory than there is"
        if not sentence.isprintable() or len(sentence) > MAX_SENTENCE:
            return f"FAULT: a message that is no sentence: {sentence!r:.200}"
        return "refused"
    except BaseException as error:
        return f"FAULT: {type(error).__name__}: {error!s:.200}"
    return "read"


class Files:
    """Files by number, each made from the seed and its number alone."""

    def __init__(self, folder: Path, seed: int, crafted: bool) -> None:
        """Write nothing yet."""
        self.folder, self.seed, self.crafted = folder, seed, crafted
        self.originals = None if crafted else mutations.Originals()
        self.formats = [name for name in weight_files.FORMATS if name not in _SLOW]

    def write(self, number: int) -> str:
        """Write a file and those beside it; return its format."""
        rng = np.random.default_rng((self.seed, self.crafted, number))
        if self.originals is None:
            name, data, beside = crafted_files.craft(rng)
        else:
            slow = number % (10 * len(self.formats)) == 0
            name = _SLOW[0] if slow else self.formats[number % len(self.formats)]
            data, beside = self.originals.mutate(name, rng), {}
            if second := weight_files.FORMATS[name].write_beside:
                beside = {weight_files.FORMATS[name].beside: second(np.random.default_rng(0))}
        (self.folder / "file").write_bytes(data)
        for other, content in beside.items():
            (self.folder / other).write_bytes(content)
        return name

    def read(self, name: str) -> str:
        """Read the file that was written; return the outcome."""
        path, kind = self.folder / "file", weight_files.FORMATS[name]
        if kind.is_mean:
            return outcome(lambda: weights.caffe.read_mean_image(path))
        return outcome(lambda: weights.read(path, architecture=kind.net))


def serve(files: Files, first: int, last: int, seconds: float, megabytes: int) -> None:
    """Read files by number, and print a line before and after each."""
    for name in weight_files.FORMATS:  # what reading takes once: imports, JAX's start
        path = files.folder / "file"
        path.write_bytes(weight_files.FORMATS[name].write(np.random.default_rng(0)))
        files.read(name)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # notes
        for number in range(first, last):
            name = files.write(number)
            print(f"{number}\t{name}", flush=True)
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, began = _memory("VmRSS"), time.process_time()
            result = files.read(name)
            took, grown = time.process_time() - began, _memory("VmHWM") - before
            if grown > megabytes:
                result = f"FAULT: it took {grown} MB"
            if took > seconds:
                result = f"FAULT: it took {took:.1f} s"
            print(f"{number}\t{name}\t{result}", flush=True)


def _memory(field: str) -> int:
    """A field of this process's status in megabytes: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(field)]
    return int(line.split()[1]) // 1024


class Watch:
    """Runs serving processes one after another, and counts the outcomes of their files."""

    def __init__(self, kind: str, first: int, last: int, seconds: float) -> None:
        """Run nothing yet."""
        self.kind, self.number, self.last, self.seconds = kind, first, last, seconds
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.faults = 0

    def run(self, command: list[str]) -> None:
        """Run a process until it ends or a file takes too long."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        output: IO[bytes] = process.stdout  # pyright: ignore[reportAssignmentType] - a pipe
        rest, being_read, limit = b"", "", _START
        while select.select([output], [], [], limit)[0] and (
            data := os.read(output.fileno(), 2**16)
        ):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                number, name, *result = line.decode().split("\t")
                self.number, being_read = int(number), name if not result else ""
                if result:
                    self._count(name, result[0])
                    self.number += 1
            limit = self.seconds
        took_too_long = process.poll() is None
        process.kill()
        status = process.wait()
        if self.number < self.last:
            fault = f"it took over {limit:g} s" if took_too_long else f"its process ended: {status}"
            self._count(being_read or "no file", f"FAULT: {fault}")
            self.number += 1

    def _count(self, name: str, result: str) -> None:
        self.counts[name][result.split(":")[0]] += 1
        if result.startswith("FAULT"):
            self.faults += 1
            print(f"{self.kind} file {self.number}, {name}: {result}", flush=True)


def main(arguments: list[str]) -> int:
    """Read the files, print counts by format; return 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="damaged files")
    parser.add_argument("--crafted", type=int, default=200, metavar="N", help="hostile files")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="processor time for one file")
    parser.add_argument("--megabytes", type=int, default=300, help="of memory for one file")
    parser.add_argument("--serve", nargs=3, metavar=("FOLDER", "LAST", "KIND"), help="(internal)")
    options = parser.parse_args(arguments)
    if options.serve:
        folder, last, kind = options.serve
        files = Files(Path(folder), options.seed, kind == "crafted")
        serve(files, options.first, int(last), options.seconds, options.megabytes)
        return 0
    faults = 0
    for kind, count in (("damaged", options.files), ("crafted", options.crafted)):
        faults += _run(kind, count, options)
    return 1 if faults else 0


def _run(kind: str, count: int, options: argparse.Namespace) -> int:
    """Read all files of one kind; return the number of faults."""
    first, last = options.first, options.first + count
    watch = Watch(kind, first, last, _PATIENCE * options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        while watch.number < last:
            command = [sys.executable, "-m", "benchmarks.mutated_weights", "--seed", options.seed]
            command += ["--first", watch.number, "--serve", folder, last, kind]
            command += ["--megabytes", options.megabytes, "--seconds", options.seconds]
            watch.run([str(part) for part in command])
    for name, outcomes in sorted(watch.counts.items()):
        print(f"{kind:8} {name:20} {dict(outcomes)}")
    total = sum(sum(outcomes.values()) for outcomes in watch.counts.values())
    print(f"{total:,} {kind} files: {watch.faults} faults", flush=True)
    return watch.faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
