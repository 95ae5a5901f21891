"""The output of a command: readers that leave, terminals that nobody watches, hostile names."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.config.errors import LONGEST, BadInput, Ended, list_some
from train.runtime import output
from train.runtime.cli import run_command

ROOT = Path(__file__).parents[3]
START = "from train.runtime import output; output.set_up(); "


def start(code):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", START + code], cwd=ROOT, **pipes)


@pytest.mark.parametrize(
    ("goes_on", "status", "note"),
    [("pass", output.READER_GONE, ""), ("output.outlive_reader()", 0, "note: nobody reads")],
)
def test_a_reader_who_leaves_ends_a_command_or_is_outlived(tmp_path, goes_on, status, note):
    end = f"open({str(tmp_path / 'end')!r}, 'w')"
    with start(f"{goes_on}; [print(i, 'x' * 99) for i in range(9999)]; {end}") as process:
        assert process.stdout.readline().startswith("0 x")
        process.stdout.close()
        messages = process.stderr.read()
    assert process.returncode == status
    assert messages.count("\n") == bool(note)
    assert messages.startswith(note)
    assert (tmp_path / "end").exists() == (status == 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="of Linux")
@pytest.mark.parametrize(
    ("goes_on", "status", "message"),
    [
        ("pass", 1, "stopped: the output cannot be written: No space left on device\n"),
        (
            "output.outlive_reader()",
            0,
            "note: the output cannot be written: No space left on device; the work goes on\n",
        ),
    ],
)
def test_a_full_disk_under_the_output_ends_a_command_or_is_outlived(
    tmp_path, goes_on, status, message
):
    end = f"open({str(tmp_path / 'end')!r}, 'w')"
    code = f"{START}{goes_on}; [print('x' * 99) for i in range(999)]; {end}"
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (status, message)
    assert (tmp_path / "end").exists() == (status == 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "Permission denied"),
        (errno.ENAMETOOLONG, "File name too long"),
        (errno.EROFS, "Read-only file system"),
    ],
)
def test_a_path_that_cannot_be_looked_at_ends_a_command_in_a_sentence(capsys, number, words):
    def main():
        raise OSError(number, os.strerror(number), "some/path")

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: some/path: {words}\n"


@pytest.mark.parametrize(("name", "shown"), [(None, "a file"), ("some/path", "some/path")])
def test_a_full_disk_under_any_file_stops_a_command_in_a_sentence(capsys, name, shown):
    def main():
        raise OSError(errno.ENOSPC, "No space left on device", name)

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"stopped: {shown}: No space left on device\n"


def test_other_errors_of_files_keep_their_traceback():
    def main():
        raise FileNotFoundError(errno.ENOENT, "gone", "ours")

    with pytest.raises(FileNotFoundError):
        run_command(main)


def test_a_terminal_that_is_gone_takes_nothing_and_raises_nothing():
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        stream = output._wrap(terminal, slave)
        print("before", file=stream, flush=True)
        os.close(master)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(slave, b"after")
        print("after", file=stream, flush=True)


def test_control_characters_are_visible_and_an_order_is_kept():
    code = "import sys; print('a\\x1b[2Jb\\u202e'); output.raw(sys.stdout).write('\\x1b[1m'); "
    with start(code + "print('c\\nd\\udcff\\x07')") as process:
        assert process.stdout.read() == "a\\x1b[2Jb\\u202e\n\x1b[1mc\nd\\udcff\\x07\n"


def test_closed_outputs_are_no_error():
    command = [sys.executable, "-c", START + "print(1); import sys; print(2, file=sys.stderr)"]
    shell = ["sh", "-c", '"$@" >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("typed_at", "variables", "watched"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),  # a container, a CI server
        (True, {"TERM": "xterm", "OMPI_COMM_WORLD_SIZE": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, False),
    ],
)
def test_a_bar_is_for_a_terminal_that_a_person_watches(monkeypatch, typed_at, variables, watched):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    master, slave = os.openpty()
    with os.fdopen(master), os.fdopen(slave, "w") as terminal, open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", terminal if typed_at else nothing)
        assert output.is_watched(terminal) == watched
        assert not output.is_watched(nothing)


def end_with(error, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code, capsys.readouterr().err


def test_a_sentence_is_one_line_of_bounded_length(capsys):
    status, message = end_with(BadInput("`data` a\nerror: b\x1b[2J is missing"), capsys)
    assert (status, message) == (2, "error: --data a\\nerror: b\\x1b[2J is missing\n")
    _, message = end_with(BadInput(f"{'x' * 9000} is missing"), capsys)
    assert len(message) == len("error: \n") + LONGEST
    assert message.endswith("is missing\n")
    assert end_with(Ended("stopped", 1), capsys) == (1, "stopped\n")
    assert end_with(KeyboardInterrupt(), capsys) == (130, "stopped by SIGINT\n")


def test_a_long_list_says_how_many_more_there_are():
    assert list_some(["a", "b"]) == "a, b"
    assert list_some(range(1000), 3) == "0, 1, 2, ... and 997 more"
