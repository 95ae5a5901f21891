"""train.prepare and train.fetch, killed again and again: `python -m benchmarks.interruptions`.

train.prepare writes JPEG records, and then raw ones. Each command is killed (SIGKILL) at random
moments and started again, until it ends by itself. A kill counts if part of the work was on the
disk, and not all of it. Of train.prepare, the parent alone and the whole process group are killed
in turn. The files must then be those of a command that nobody stopped, byte for byte, and there
must be no others.
"""

import contextlib
import functools
import gzip
import hashlib
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from train.config.errors import Ended
from train.data.formats import idx, manifest
from train.runtime.cli import make_parser, positive, run_command

_PICTURES, _CLASSES, _SHARD = 240, 4, 8
_SLOW_CHUNK, _SLOW_SECONDS = 1 << 14, 0.1
"""Bytes that the server sends at once, and how long it then waits: images take a second."""

_FETCH = """
import json, sys
from dataclasses import replace
from train import fetch
from train.data.download.catalog import FILES, SOURCES
from train.data.download.sources import Mirror
address, sums = sys.argv[1], json.loads(sys.argv[2])
SOURCES["mnist"] = (Mirror(address),)
FILES["mnist"] = tuple(replace(f, **sums[f.name]) for f in FILES["mnist"])
fetch.main(["mnist", sys.argv[3]])
"""


class Outcome(NamedTuple):
    """What has become of a command that was killed."""

    kills: int
    """Kills after which part of the work was on the disk."""
    early: int
    """Kills before that."""
    ends: int
    """How often the command has ended by itself."""
    different: int
    """Files that are missing, differ, or should not be there."""


class Job(NamedTuple):
    """A command that fills a folder."""

    command: list[str]
    """Without the folder."""
    finished: str
    """The name of the file that is written last."""
    parts: str
    """The pattern of files of which there is at least one once part of the work is done."""


def main(argv: list[str] | None = None) -> None:
    """Kill the commands, compare, and print the counts."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument("--kills", type=positive, default=50, help="of each command (%(default)s)")
    flags.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    arguments = flags.parse_args(argv)
    moments = arguments.kills, arguments.seed
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_pictures(folder / "pictures")
        prepare = [sys.executable, "-m", "train.prepare", str(folder / "pictures")]
        prepare += ["--size", "32", "--shard-size", str(_SHARD), "--processes", "2"]
        address, sums = stack.enter_context(serving(folder / "published"))
        jobs = {
            f"train.prepare --encoding {encoding}": Job(
                [*prepare, "--encoding", encoding], manifest.NAME, "*.array_record"
            )
            for encoding in manifest.KINDS
        } | {
            "train.fetch": Job(
                [sys.executable, "-c", _FETCH, address, json.dumps(sums)],
                f"{idx.file_name('test', 'labels')}.gz",
                "*.gz",
            ),
        }
        outcomes = []
        for name, job in jobs.items():
            outcome = kill_again_and_again(job, folder / name.split()[-1], *moments)
            print(
                f"{name}: killed {outcome.kills} times with part of the work done, "
                f"{outcome.early} times before; ended by itself {outcome.ends} times; "
                f"files that differ: {outcome.different}",
                flush=True,
            )
            outcomes.append(outcome)
    if any(o.different or not o.ends or o.kills < arguments.kills for o in outcomes):
        raise Ended("stopped: a killed command has left other files, or too few kills counted", 1)


def kill_again_and_again(job: Job, folder: Path, kills: int, seed: int) -> Outcome:
    """Kill a command until `kills` kills have counted, into a new folder after each end."""
    rng = random.Random(seed)
    straight = folder / "straight"
    started = time.monotonic()
    subprocess.run([*job.command, str(straight)], check=True, stdout=subprocess.DEVNULL)
    duration, expected = time.monotonic() - started, contents(straight)
    counted = early = ends = different = 0
    while counted < kills or not ends:
        out = folder / f"killed-{ends}"
        if counted + early > 20 * kills:
            break
        process = subprocess.Popen(
            [*job.command, str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # the tracker of semaphores warns at every kill
            start_new_session=True,
        )
        # A command that nobody kills ends the series of kills in this folder.
        wait = rng.uniform(0.2, 1.1) * duration if counted < kills else None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.wait(wait):
                raise Ended(f"stopped: {job.command} ended with {process.returncode}", 1)
            ends += 1
            different += count_differences(expected, contents(out))
            continue
        if rng.random() < 0.5:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        partly = any(out.glob(job.parts)) and not (out / job.finished).exists()
        counted, early = counted + partly, early + (not partly)
    return Outcome(counted, early, ends, different)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder but for hidden ones, such as the lock."""
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


def count_differences(expected: dict[str, bytes], found: dict[str, bytes]) -> int:
    """Return how many files are missing, too many, or of other bytes; name them."""
    names = sorted(n for n in expected | found if expected.get(n) != found.get(n))
    for name in names:
        print(f"differs: {name}")
    return len(names)


def write_pictures(folder: Path) -> None:
    """Write noise as JPEG files, in class folders."""
    rng = np.random.default_rng(0)
    for i in range(_PICTURES):
        path = folder / str(i % _CLASSES) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (600, 500, 3), np.uint8)).save(path)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Serve a small data set of IDX files, slowly; yield the address and the files' checksums."""
    folder.mkdir()
    rng, sums = np.random.default_rng(0), {}
    for split in ("train", "test"):
        for content, shape in (("images", (500, 28, 28)), ("labels", (500,))):
            values = rng.integers(0, 10, shape, np.uint8)
            header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
            data = gzip.compress(header + values.tobytes(), mtime=0)
            name = idx.file_name(split, content)
            (folder / f"{name}.gz").write_bytes(data)
            sums[name] = {
                "md5": hashlib.md5(data).hexdigest(),
                "sha256": hashlib.sha256(gzip.decompress(data)).hexdigest(),
            }
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(SlowHandler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["NO_PROXY"] = "*"
    yield f"http://127.0.0.1:{server.server_port}", sums
    server.shutdown()
    server.server_close()


class SlowHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files in small pieces."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file, with pauses."""
        with contextlib.suppress(OSError):  # the client was killed
            while piece := source.read(_SLOW_CHUNK):
                outputfile.write(piece)
                time.sleep(_SLOW_SECONDS)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


if __name__ == "__main__":
    run_command(main)
