"""Train several runs, each by `train.main` in a process of its own.

A sweep that was stopped goes on with the same call: what is finished is skipped, and what has begun
is resumed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from ..config.config import Config
from ..config.errors import PACKAGE, BadInput, Ended
from ..config.flags import check_begun_by, parse
from ..config.run_length import last_step
from ..config.saved import load_config
from ..run_dir.run_summary import RunSummary, summarize_run
from ..run_dir.same_data import compare_data
from ..runtime.cores import core_shares
from ..runtime.stop_signal import StopRequest, defer_signals

_SECONDS_BETWEEN_LOOKS = 0.2
"""At the signals of a sweep, which only its main thread may get."""


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep: its folder, and the flags of `train.main` that make it."""

    run_dir: Path
    flags: tuple[str, ...]
    start_flags: tuple[str, ...] = ()
    """Flags that --resume refuses, as --like."""

    @property
    def has_begun(self) -> bool:
        """Whether there is something to resume."""
        return (self.run_dir / "config.json").exists()

    def all_flags(self) -> list[str]:
        """Return the flags that begin the run, or resume it."""
        more = ["--resume"] if self.has_begun else self.start_flags
        return [*self.flags, "--run-dir", str(self.run_dir), *more]


@dataclass
class _Children:
    """The runs that are being trained, and whether no more may begin."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    stopped: bool = False

    def stop(self) -> None:
        """Let each of them save and end; a second time, end at once.

        By SIGTERM: in the background of a shell script SIGINT is ignored until a run trains.
        """
        self.stopped = True
        for child in self.running:
            child.terminate()


def train_runs(
    runs: Sequence[SweepRun], jobs: int = 1, *, way_on: str = "the same command"
) -> list[RunSummary]:
    """Train the runs that are not over, in their order.

    A run whose loss is no longer finite is over as well: resumed, it would diverge again.

    Args:
      runs: each with a folder of its own. What a run prints goes to `RUN.log` beside its folder.
      jobs: runs at a time, each on its share of this process's cores.
      way_on: how to continue after a stop, as a user types it.

    Returns what the folders of all runs tell, in their order.

    Raises:
      BadInput: flags of a run that `train.main` refuses.
      Ended: a run failed, or a signal stopped all of them, after they were saved.
    """
    unfinished = [run for run in runs if not _is_over(run)]
    if len(unfinished) < len(runs):
        print(f"{len(runs) - len(unfinished)} of {len(runs)} runs are over", flush=True)
    children, shares = _Children(), core_shares(min(jobs, max(1, len(unfinished))))
    with defer_signals() as request, ThreadPoolExecutor(len(shares)) as pool:
        futures = [pool.submit(_train, run, shares, children) for run in unfinished]
        try:
            _wait_for(futures, children, request)
        finally:
            children.stop()
            for future in futures:
                future.cancel()
    if request.signal is not None:
        name = signal.Signals(request.signal).name
        raise Ended(f"stopped by {name}; continue with: {way_on}", 128 + request.signal)
    return [summarize_run(run.run_dir) for run in runs]


def _is_over(run: SweepRun) -> bool:
    """Return whether a run has its figures on the test images, or has diverged.

    Raises BadInput for flags that `train.main` refuses, and for a folder that holds another run.
    """
    wanted, folder = parse(run.all_flags()), run.run_dir
    if not run.has_begun:
        return False
    saved = load_config(folder)
    _check_data(folder, wanted, saved)
    check_begun_by([*run.flags, *run.start_flags], saved)
    summary = summarize_run(folder)
    images = summary.epoch_images  # 0 if the folder does not say
    if images and summary.step > (last := last_step(wanted.recipe, images)):
        raise BadInput(f"{folder} is at step {summary.step}, past the last step, {last}")
    return summary.diverged or (summary.finished and summary.has_ended(wanted.recipe))


def _check_data(folder: Path, wanted: Config, saved: Config) -> None:
    """Raise BadInput if a run has learned from other data; theirs may have moved."""
    before, now = saved.data.path, wanted.data.path
    if now is None or now.resolve() == before:
        return
    if before is None or os.path.exists(before):
        raise BadInput(f"{folder} holds a run on {before or 'data without a path'}, not on {now}")
    from .build import load_network_and_data  # imports Optax and Grain, which a parent needs not

    data = load_network_and_data(saved.replace(data=now, data_kind=wanted.data.kind))[1]
    parts = () if saved.data.bad_images else ("train", "test")  # it counted what could be read
    if differences := compare_data(folder, data, parts):
        raise BadInput(f"{differences[0]}, and {before} does not exist")
    print(f"note: {folder} learned from {before}; its data are in {now} now", flush=True)


def _wait_for(futures: list[Future[None]], children: _Children, request: StopRequest) -> None:
    """Wait for all runs, or for the first failure. A signal to this process goes to all of them."""
    waiting, passed_on = set(futures), False
    while waiting:
        done, waiting = wait(waiting, _SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)
        if request.signal is None:
            for future in done:
                future.result()
        elif not passed_on:
            children.stop()
            passed_on = True


def _train(run: SweepRun, shares: list[list[int]], children: _Children) -> None:
    """Train one run to its end. Raises Ended if it fails."""
    if children.stopped:
        return
    cores = shares.pop()
    try:
        _run_child(run, cores, children)
    except BaseException:
        children.stopped = True  # at once: this thread would begin the next run
        raise
    finally:
        shares.append(cores)


def _run_child(run: SweepRun, cores: list[int], children: _Children) -> None:
    if cores:
        os.sched_setaffinity(0, cores)  # of this thread, from which the child has it
    begun, command = run.has_begun, [sys.executable, "-m", f"{PACKAGE}.main", *run.all_flags()]
    run.run_dir.parent.mkdir(parents=True, exist_ok=True)
    log, start = run.run_dir.with_name(f"{run.run_dir.name}.log"), time.monotonic()
    _say(f"{run.run_dir}: {'resumed' if begun else 'started'}")
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
        child = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        children.running.append(child)
        if children.stopped:  # while it was started, so that nobody has told it
            child.terminate()
        status = child.wait()
        children.running.remove(child)
    if children.stopped:
        return
    summary = summarize_run(run.run_dir) if run.has_begun else None
    if summary is None or (status and not summary.diverged):
        status = status if status > 0 else 128 - status  # below 0: the number of a signal
        raise Ended(f"{run.run_dir} ended with status {status}: {_last_line(log)}", status)
    if summary.diverged:
        _say(f"{run.run_dir}: {_last_line(log)}")
        return
    errors = {"training": summary.train_error, "test": summary.test_error}
    shown = (f"{name} error {100 * x:.2f} %" for name, x in errors.items() if x is not None)
    minutes = (time.monotonic() - start) / 60
    _say(f"{run.run_dir}: {', '.join(shown)}, {minutes:.1f} min")


def _say(line: str) -> None:
    """Print a line in one piece: several threads do so."""
    print(f"{line}\n", end="", flush=True)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
