"""`python -m alexnet_jax NET` prints a network's layers."""

import runpy
import signal
import subprocess
import sys

import pytest

from alexnet_jax.__main__ import main


def test_the_command_prints_a_nets_summary(capsys):
    assert main(["ONE_GPU"]) == 0
    assert "59,798,312" in capsys.readouterr().out
    assert main(["SCALED_8_113"]) == 0
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    assert "NO_COMMUNICATION" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["ALEX"], ["PAPER", "CAFFE"], ["SCALED_8_9"]])
def test_the_command_refuses_wrong_arguments_in_one_sentence(arguments, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_a_summary_into_a_closed_pipe_ends_silently():
    command = [sys.executable, "-m", "alexnet_jax", "PAPER"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141  # 128 + SIGPIPE


def test_a_command_leaves_the_signals_of_its_process_as_they_are(monkeypatch, capsys):
    """A notebook that runs it writes to pipes of its own."""
    before = signal.getsignal(signal.SIGPIPE)
    monkeypatch.setattr(sys, "argv", ["alexnet_jax", "ONE_GPU"])
    monkeypatch.delitem(sys.modules, "alexnet_jax.__main__")
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("alexnet_jax", run_name="__main__")
    assert signal.getsignal(signal.SIGPIPE) == before
    assert "59,798,312" in capsys.readouterr().out
