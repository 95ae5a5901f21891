"""The folder of a run while it is trained: it may be deleted, renamed, or never needed."""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax

from alexnet_jax.weights.files import run_checkpoints

from ..config.errors import Ended, as_called
from ..data.image_statistics import COLORS, MEAN
from ..runtime.distributed import is_main_process

NEEDED = ("config.json", MEAN, COLORS, "checkpoints")
"""Files and folders without which a run cannot be resumed."""

WRITTEN = (*NEEDED, "lock", "metrics.jsonl", "tensorboard", "damaged", "diverged.json")
"""What a run writes into its folder while it is trained."""

FOLDERS = ("checkpoints", "tensorboard", "damaged")
"""Those of them that are folders."""


class OpenFolder:
    """The folder of a run, recognized by what it is and not by its name alone."""

    def __init__(self, path: Path, *, made: bool = False, own_data: bool = False) -> None:
        """Follow a folder.

        Args:
          path: of the folder.
          made: whether this process has made it.
          own_data: whether the data are objects of a caller of `train`.
        """
        self.path, self._made, self._own_data = path, made, own_data
        self._before = {name for name in WRITTEN if (path / name).exists()}
        self._descriptor = None
        with contextlib.suppress(OSError):  # another process makes it
            self._descriptor = os.open(path, os.O_RDONLY)

    def __enter__(self) -> "OpenFolder":
        """Return the folder, followed until the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Follow it no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def is_intact(self) -> bool:
        """Return whether the folder is where it was, with all that a resumed run needs."""
        complete = all((self.path / name).exists() for name in NEEDED)
        return self._is_at(self.path) and complete and (self.path / "checkpoints").is_dir()

    def path_now(self) -> Path | None:
        """Return where the folder is now, by its new name if it was renamed; None if deleted."""
        if self._is_at(self.path):
            return self.path
        with contextlib.suppress(OSError):  # Linux keeps the name up to date
            renamed = Path(os.readlink(f"/proc/self/fd/{self._descriptor}"))
            return renamed if self._is_at(renamed) else None
        return None

    def way_on(self, path: Path | None = None) -> str:
        """Return how to continue the run, as a user types it; `path` if the folder is another."""
        path = (path or self.path).absolute()
        if self._own_data:
            return f"train() with the same data, run_dir={str(path)!r} and resume=True"
        if jax.process_count() > 1:
            return "the same command with --resume, in each process"
        command = as_called("python -m train.main --run-dir")
        return f"{command} {shlex.quote(str(path))} --resume"

    @contextlib.contextmanager
    def end_on_interrupt(self) -> Iterator[None]:
        """Raise Ended, exit status 130, when Ctrl-C ends the block: nothing more is saved.

        A folder in which there is nothing to resume is left as it was before the run.
        """
        try:
            yield
        except KeyboardInterrupt:
            raise Ended(self._stop_at_once(), 130, at_once=True) from None

    def _stop_at_once(self) -> str:
        checkpoints = self.path / "checkpoints"
        for step in run_checkpoints.list_steps(checkpoints):
            return (
                f"stopped at once; the last checkpoint is {checkpoints / str(step)}; "
                f"continue with: {self.way_on()}"
            )
        if any(checkpoints.glob("*")):  # one is being written
            return f"stopped before anything was saved; continue with: {self.way_on()}"
        if is_main_process():
            self._discard()
        return "stopped before anything was saved"

    def _discard(self) -> None:
        for name in {*WRITTEN} - self._before:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                self.path.rmdir()

    def _is_at(self, path: Path) -> bool:
        try:
            found = path.stat()
            return self._descriptor is None or os.path.samestat(os.fstat(self._descriptor), found)
        except OSError:
            return False
