"""Processes that a benchmark starts: commands with a limit, and workers that answer requests."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parent.parent
"""The checkout, which children import."""


class RequestFailed(Exception):
    """A worker could not do what was asked; it answers further requests."""


class WorkerGone(Exception):
    """A worker has ended or been stopped."""


class Finished(NamedTuple):
    """A command at its end."""

    status: int  # negative: the signal that killed it
    seconds: float
    output: str
    errors: str

    def summary(self) -> dict[str, Any]:
        """Return what a report keeps: the ends of what was printed, in place of all."""
        ends = {"output": self.output[-700:], "errors": self.errors[-700:]}
        return {"status": self.status, "seconds": round(self.seconds, 1)} | ends


def child_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment, with the checkout before other folders of modules."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)} | dict(changes or {})


def run(
    command: Sequence[object], limit: float, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a command to its end, or for `limit` seconds; it and its children are then killed.

    Args:
      command: in words.
      limit: in seconds.
      environment: changes of this environment.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=child_environment(environment),
        start_new_session=True,
    )
    late = ""
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        late = f"\nstopped after {limit:.0f} s"
        kill_group(process)
        output, errors = process.communicate()
    except BaseException:  # Ctrl-C, which a session of its own does not see
        kill_group(process)
        raise
    return Finished(process.returncode, time.monotonic() - start, output, errors + late)


def kill_group(process: subprocess.Popen) -> None:
    """Kill a process that leads a session, and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class Worker:
    """The process of a module that calls `benchmarks.worker.answer_requests`."""

    def __init__(
        self,
        command: Sequence[object],
        errors: IO[str] | int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process in this checkout; `errors` takes what it prints."""
        self.name = " ".join(str(word) for word in command[1:])
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=child_environment(environment),
            start_new_session=True,
        )
        self._request = ""
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read_answers, daemon=True)
        self._reader.start()

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def ask(self, what: str, limit: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises RequestFailed if the worker could not do it, WorkerGone if it has died or has not
        answered within `limit` seconds, after which it is killed.
        """
        self.send(what, **arguments)
        return self.receive(limit)

    def send(self, what: str, **arguments: Any) -> None:
        """Send a request, and do not wait; `receive` returns its answer."""
        assert self._process.stdin is not None
        self._request = json.dumps({"do": what} | arguments)
        with contextlib.suppress(OSError):  # it has ended, which `receive` tells
            print(self._request, file=self._process.stdin, flush=True)

    def receive(self, limit: float | None = None) -> dict[str, Any]:
        """Return the answer to the request that was sent, as `ask` does."""
        try:
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            self.close()
            raise WorkerGone(
                f"{self.name} gave no answer in {limit:.0f} s to {self._request}"
            ) from None
        if line is None:
            self._answers.put(None)  # for the next request
            status = self._process.wait()
            raise WorkerGone(f"{self.name} ended with status {status} at {self._request}")
        answer = json.loads(line)
        if "error" in answer:
            raise RequestFailed(answer["error"])
        return answer

    def close(self) -> None:
        """Kill the process and all that it has started."""
        kill_group(self._process)
        self._process.wait()
        self._reader.join()
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with contextlib.suppress(OSError):  # an unsent request in its buffer
                pipe.close()

    def __enter__(self) -> "Worker":
        """Return the worker, which does not outlive the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the process."""
        self.close()
