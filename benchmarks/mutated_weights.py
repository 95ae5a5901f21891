"""Damaged and hostile files of weights in every format: `python -m benchmarks.mutated_weights`.

Each file is read in a process whose time and memory are watched. It must be read, or refused in one
sentence, within --seconds and --megabytes: anything else fails the run, and the file is kept.
`--first N --files 1` repeats one file. It needs the tests' own writers, so a checkout.
"""

import argparse
import collections
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
    with open(os.devnull, "w") as nowhere:
        output, sys.stderr = sys.stdout, nowhere  # notes on what was left out
        for number in range(first, last):
            name = files.write(number)
            print(f"{number}\t{name}", file=output, flush=True)
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            before, began = _memory("VmRSS"), time.process_time()
            result = files.read(name)
            took, grown = time.process_time() - began, _memory("VmHWM") - before
            if grown > megabytes:
                result = f"FAULT: it took {grown} MB"
            if took > seconds:
                result = f"FAULT: it took {took:.1f} s"
            print(f"{number}\t{name}\t{result}", file=output, flush=True)


def _memory(field: str) -> int:
    """A field of this process's status in megabytes: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(field)]
    return int(line.split()[1]) // 1024


def watch(command: list[str], seconds: float, last: int) -> tuple[list[tuple[str, str]], int]:
    """Run a serving process until it ends or a file takes too long.

    Returns:
      (format, outcome) of each file, and the number of the file to go on with.
    """
    results, number, name, limit = [], -1, "", _START
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output: IO[bytes] = process.stdout  # pyright: ignore[reportAssignmentType] - a pipe
    began, rest = time.monotonic(), b""
    while True:
        ready, *_ = select.select([output], [], [], max(0.0, limit - (time.monotonic() - began)))
        data = os.read(output.fileno(), 2**16) if ready else b""
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text, name, *result = line.decode().split("\t")
            number = int(text)
            results += [(name, result[0])] if result else []
            name = "" if result else name
        began, limit = time.monotonic(), seconds
    timed_out = process.poll() is None and bool(name or number < 0) and not data and not ready
    process.kill()
    status = process.wait()
    if number + 1 < last or name:
        fault = f"it took over {limit:g} s" if timed_out else f"the process ended with {status}"
        results.append((name or "start", f"FAULT: {fault}"))
    return results, number + 1


def main(arguments: list[str]) -> int:
    """Read the files, print counts by format; return 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=1000, metavar="N", help="damaged files")
    parser.add_argument("--crafted", type=int, default=200, metavar="N", help="hostile files")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="processor time for one file")
    parser.add_argument("--megabytes", type=int, default=300, help="of memory for one file")
    parser.add_argument("--keep", type=Path, default=Path("faults"), help="folder for faulty files")
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
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    at, last, faults = options.first, options.first + count, 0
    with tempfile.TemporaryDirectory() as folder:
        while at < last:
            command = [sys.executable, "-m", "benchmarks.mutated_weights", "--seed", options.seed]
            command += ["--first", at, "--serve", folder, last, kind]
            command += ["--megabytes", options.megabytes, "--seconds", options.seconds]
            limit = _PATIENCE * options.seconds
            results, at = watch([str(part) for part in command], limit, last)
            for name, result in results:
                counts[name][result.split(":")[0]] += 1
            for offset, (name, result) in enumerate(reversed(results), 1):
                if result.startswith("FAULT"):
                    faults += 1
                    number = at - offset
                    options.keep.mkdir(parents=True, exist_ok=True)
                    if offset == 1 and (Path(folder) / "file").exists():
                        content = (Path(folder) / "file").read_bytes()
                        (options.keep / f"{kind}-{number}").write_bytes(content)
                    print(f"{kind} file {number}, {name}: {result}", flush=True)
    for name, outcomes in counts.items():
        print(f"{kind:8} {name:20} {dict(outcomes)}")
    total = sum(sum(outcomes.values()) for outcomes in counts.values())
    print(f"{total:,} {kind} files: {faults} faults", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
