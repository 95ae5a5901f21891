"""The folder of a run while it is trained: it may be deleted or renamed, or hold links."""

import os
import shlex
import stat
from pathlib import Path

import jax

from alexnet_jax.weights.files import run_checkpoints

from ..config.config import COMMAND
from ..config.errors import BadInput, list_some
from ..data.image_statistics import COLORS, MEAN

NEEDED = ("config.json", MEAN, COLORS, "checkpoints")
"""Files and folders without which a run cannot be resumed."""

WRITTEN = (*NEEDED, "lock", "metrics.jsonl", "tensorboard", "damaged", "curves.png")
"""All that a run writes into its folder."""


class OpenFolder:
    """The folder of a run, recognized by what it is, not by its name."""

    def __init__(self, path: Path, *, own_data: bool = False) -> None:
        """Take the folder, which exists, and whether the data come from a caller of `train`."""
        self.path = path.resolve()
        self._own_data = own_data
        self._descriptor = os.open(self.path, os.O_RDONLY)

    def close(self) -> None:
        """Stop to follow the folder."""
        os.close(self._descriptor)

    def is_intact(self) -> bool:
        """Return whether the folder is where it was, with all that a resumed run needs."""
        return self._is_at(self.path) and all((self.path / name).exists() for name in NEEDED)

    def path_now(self) -> Path | None:
        """Return where the folder is now, under its new name if it was renamed; None if deleted."""
        if self._is_at(self.path):
            return self.path
        try:  # Linux keeps the name up to date
            renamed = Path(os.readlink(f"/proc/self/fd/{self._descriptor}"))
        except OSError:
            return None
        return renamed if self._is_at(renamed) else None

    def latest_step(self) -> int | None:
        """Return the step of the latest complete checkpoint, None if there is none."""
        return next(iter(run_checkpoints.list_steps(self.path / "checkpoints")), None)

    def way_on(self, path: Path | None = None) -> str:
        """Return how to continue the run, as a user types it; `path` if the folder is another."""
        path = path or self.path
        if self._own_data:
            return f"train() with the same data, run_dir={str(path)!r} and resume=True"
        if jax.process_count() > 1:
            return "the same command with --resume, for each process"
        return f"{COMMAND} --run-dir {shlex.quote(str(path))} --resume"

    def _is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except OSError:
            return False


def refuse_links(run_dir: Path) -> None:
    """Raise BadInput if a link in the folder of a run could lead its writes elsewhere.

    Refused are symbolic links that lead out of the folder, or that have the name of something that
    a run writes, and files that are no regular ones, such as pipes, whose readers would wait.
    """
    inside, refused = run_dir.resolve(), []
    for folder, folders, files in os.walk(run_dir):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink():
                name = path.relative_to(run_dir).as_posix()
                if name in WRITTEN or not path.resolve().is_relative_to(inside):
                    refused.append(f"{name} -> {os.readlink(path)}")
            elif not stat.S_ISDIR(mode := path.lstat().st_mode) and not stat.S_ISREG(mode):
                refused.append(f"{path.relative_to(run_dir)}, no regular file")
    if refused:
        raise BadInput(
            f"`run_dir` {run_dir} holds links through which a run would write or read elsewhere: "
            f"{list_some(sorted(refused), 3)}"
        )
