"""Run commands as a user does, and check their messages."""

import subprocess
import sys

import pytest

from train import main
from train.config.errors import BadInput


def run(module, *arguments, **where):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **where)


def refusal(*arguments):
    """The error message of train.main, called in this process."""
    with pytest.raises(BadInput) as caught:
        main.main([*map(str, arguments)])
    return caught.value.with_flags()


def assert_one_sentence(done, words, status=2):
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
