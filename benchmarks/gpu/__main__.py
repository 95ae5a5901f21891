"""The whole check on a card, in one command of eight minutes: `python -m benchmarks.gpu --out DIR`.

The training step and the forward pass of PAPER against PyTorch in the same minutes, numbers
against a CPU's, the loader, training from records, resumed runs, and the tests. Each part is one or
more processes, so that one that fails costs itself alone. DIR/results.json is rewritten as figures
come. Without a card, `--dry` runs all of it on a CPU, small, and `--compile-only SPEC` compiles the
step for a card that is not there (benchmarks.gpu_compile).
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.check import Check
from train.config.errors import BadInput, Ended
from train.runtime.cli import make_parser, run_command


class Part(NamedTuple):
    """A part of the check, and its share of the time."""

    share: float
    run: Callable[[Check], None]


def parts() -> dict[str, Part]:
    """Return all parts, in order of worth. What one does not need is left to those after it."""
    from benchmarks.gpu.parts import first_command, machine, numerics, records, resume, speed, tests

    return {
        "machine": Part(0.04, machine.run),
        "first_command": Part(0.12, first_command.run),
        "speed": Part(0.4, speed.run),
        "numerics": Part(0.13, numerics.run),
        "loader": Part(0.07, records.load),
        "end_to_end": Part(0.1, records.train),
        "resume": Part(0.09, resume.run),
        "tests": Part(0.05, tests.run),
    }


def main(argv: list[str] | None = None) -> None:
    """Run the parts, and end with status 1 if one of them has failed."""
    arguments, rest = read_flags(argv)
    if arguments.compile_only:
        from benchmarks import gpu_compile

        gpu_compile.main([arguments.compile_only, *rest])
        return
    if rest:
        raise BadInput(f"unknown argument {rest[0]}")
    chosen = choose_parts(arguments.parts)
    if shutil.which(arguments.torch_python) is None:
        raise BadInput(f"--torch-python: {arguments.torch_python} is no program")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: {arguments.out} cannot be a folder: {error.strerror}") from None
    work = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    check = Check(
        arguments.out,
        work,
        arguments.budget,
        dry=arguments.dry,
        torch_python=arguments.torch_python,
    )
    try:
        run_parts(check, chosen)
    finally:
        check.close()
        shutil.rmtree(work, ignore_errors=True)
    if failed := check.results["failed"]:
        name, why = next(iter(failed.items()))
        raise Ended(f"{len(failed)} of {len(chosen)} parts failed; {name}: {why}", 1)


def read_flags(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags, and what is left for `benchmarks.gpu_compile`."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--out", type=Path, default=Path("gpu-check"), help="(%(default)s)")
    flags.add_argument("--budget", type=_seconds, default=480.0, help="seconds for all (480)")
    flags.add_argument("--parts", help="some of them, separated by commas; all by default")
    flags.add_argument(
        "--torch-python", default=sys.executable, help="an interpreter with PyTorch (this one)"
    )
    flags.add_argument("--dry", action="store_true", help="small, on a CPU")
    flags.add_argument("--compile-only", metavar="SPEC", help="h100, a100, or a file")
    return flags.parse_known_args(argv)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")


def choose_parts(names: str | None) -> dict[str, Part]:
    """Return the parts with these names, always with the first, that the others read."""
    known = parts()
    if names is None:
        return known
    wanted = names.split(",")
    if unknown := [name for name in wanted if name not in known]:
        raise BadInput(f"--parts: {unknown[0]!r} is none of {', '.join(known)}")
    return {name: part for name, part in known.items() if name in ("machine", *wanted)}


def run_parts(check: Check, chosen: dict[str, Part]) -> None:
    """Run parts in turn. Raises BadInput if the first finds that nothing can be checked."""
    total, used = sum(part.share for part in chosen.values()), 0.0
    check.keep("parts", list(chosen))
    for name, part in chosen.items():
        used += part.share
        budget = check.times.end - check.times.begin
        check.part_end = check.times.begin + budget * used / total
        check.say(f"{name}: {check.seconds_left():.0f} s")
        try:
            part.run(check)
        except (BadInput, Ended):
            raise
        except Exception as error:
            check.log(traceback.format_exc())
            check.results["failed"][name] = f"{type(error).__name__}: {error}"[:600]
            check.say(f"{name} has failed: {check.results['failed'][name]}")
        check.keep("failed", check.results["failed"])
    check.keep("done", time.strftime("%Y-%m-%d %H:%M:%S"))
    check.say(f"results in {check.out / 'results.json'}")


if __name__ == "__main__":
    run_command(main)
