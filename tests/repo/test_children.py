"""Processes that benchmarks start: what fails, dies or hangs is reported, nothing outlives it."""

import sys

import pytest

from benchmarks import children

WORKER = """
import os, time
from benchmarks.worker import answer_requests
answer_requests({
    "double": lambda x: {"x": 2 * x},
    "fail": lambda: {"x": 1 / 0},
    "die": lambda: os._exit(3),
    "sleep": lambda: time.sleep(60),
})
"""


def test_a_worker_that_fails_dies_or_hangs_is_reported():
    with children.Worker([sys.executable, "-c", WORKER]) as worker:
        assert worker.ask("double", 60, x=4) == {"x": 8}
        with pytest.raises(children.RequestFailed, match="ZeroDivisionError"):
            worker.ask("fail", 60)
        with pytest.raises(children.RequestFailed, match="KeyError: 'nothing'"):
            worker.ask("nothing", 60)
        assert worker.ask("double", 60, x=5) == {"x": 10}
        with pytest.raises(children.WorkerGone, match=r'ended with status 3 at \{"do": "die"\}'):
            worker.ask("die", 60)
        with pytest.raises(children.WorkerGone, match="ended with status 3"):
            worker.ask("double", 60, x=6)
    with children.Worker([sys.executable, "-c", WORKER]) as worker:
        worker.ask("double", 60, x=1)
        with pytest.raises(children.WorkerGone, match="gave no answer in 0 s"):
            worker.ask("sleep", 0.1)


def test_a_command_is_stopped_at_its_limit_with_all_that_it_has_started():
    code = "import subprocess, sys; print(1, flush=True); subprocess.run(['sleep', '60'])"
    finished = children.run([sys.executable, "-c", code], limit=3)
    assert finished.status == -9
    assert finished.output == "1\n"
    assert finished.errors.endswith("stopped after 3 s")
    assert finished.seconds < 30  # `sleep` would hold the pipes open
