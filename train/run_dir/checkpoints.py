"""Checkpoints of a run, written by Orbax: the latest two and the best are kept."""

import contextlib
import gc
import logging
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from alexnet_jax.weights.files import checksums, run_checkpoints

from ..config.errors import BadInput, Ended
from ..runtime.distributed import barrier, is_main_process
from ..steps.train_step import TrainState
from .state_diff import describe_difference

_DELETED = "deleted"
"""Folder beside the checkpoints that old ones are moved to. What a kill leaves there is no damage,
as what it would leave of a folder that still bears the number of its step."""


def _test_error(metrics: dict[str, float]) -> float:
    return metrics["top1_error"]


class Checkpoints:
    """The folder `checkpoints` of a run.

    A checkpoint holds parameters, optimizer state, step and data position, and digests of its
    files. The latest two and the one with the lowest test error are kept. A checkpoint that does
    not match its digests is skipped with a note.
    """

    def __init__(self, run_dir: Path, *, read_only: bool = False) -> None:
        """Open the folder.

        To write, the folder is created, incomplete and half deleted checkpoints are deleted, and
        damaged ones are moved to the folder `damaged` of the run.

        Args:
          run_dir: the folder of the run.
          read_only: whether to leave the folder as it is.

        Raises BadInput if the folder cannot be read, or, to write, if all checkpoints are damaged.
        """
        self.folder = run_dir.resolve() / "checkpoints"
        self._faults: dict[int, str | None] = {}  # by step, of those checked so far
        self._read_only = read_only
        self._saving = 0  # the step that is being written
        if read_only and not self.folder.is_dir():
            raise BadInput(f"{run_dir} holds no checkpoint yet")
        if not read_only:
            self._delete_old()
            if is_main_process():
                self._move_damaged_away()
            barrier("the checkpoints")
        latest = preservation_policy.LatestN(2)
        # Orbax's own `max_to_keep` would keep the best checkpoints only and delete the latest.
        best = preservation_policy.BestN(
            get_metric_fn=_test_error, reverse=True, n=1, keep_checkpoints_without_metrics=False
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=_test_error,
            best_mode="min",
            preservation_policy=preservation_policy.AnyPreservationPolicy([latest, best]),
            cleanup_tmp_directories=not read_only,
            todelete_subdir=None if read_only else _DELETED,
            read_only=read_only,
            create=not read_only,
            # A reader opens only checkpoints that match their digests.
            lightweight_initialize=read_only,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_digests),
        )
        try:
            self._manager = ocp.CheckpointManager(
                self.folder, options=options, handler_registry=_handlers()
            )
            self._manager.best_step()
        except Exception as error:  # Orbax raises many types
            raise BadInput(f"{self.folder} cannot be read: {_first_line(error)}") from None

    def __enter__(self) -> "Checkpoints":
        """Return the checkpoints, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait until a checkpoint that is being written is complete, unless a run ends at once.

        What then fails is not raised after a sentence that ends the run.
        """
        end = error[1] if isinstance(error[1], Ended) else None
        if end is not None and end.at_once:
            return
        with contextlib.nullcontext() if end is None else contextlib.suppress(Exception):
            self._manager.close()
        self._delete_old()

    def path(self, step: int) -> Path:
        """Return the folder of the checkpoint of `step`."""
        return self.folder / str(step)

    def latest_step(self) -> int | None:
        """Return the step of the newest checkpoint, None if there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Return the step with the lowest test error, the latest if none was evaluated."""
        evaluated = self._manager.best_step()
        return self.latest_step() if evaluated is None else evaluated

    def find(self, which: str | int) -> int:
        """Return the step of a checkpoint that is not damaged.

        Args:
          which: "best" or "latest", which skip damaged checkpoints with a note, or a step.

        Raises BadInput if there is none, or if that of the step is damaged or missing.
        """
        kept = run_checkpoints.list_steps(self.folder)
        if not kept:
            raise BadInput(f"{self.folder.parent} holds no checkpoint yet")
        if isinstance(which, int):
            if which not in kept:
                steps = ", ".join(map(str, reversed(kept)))
                raise BadInput(f"{self.folder} holds the steps {steps}, and not {which}")
            self._refuse_damaged(which)
            return which
        step = run_checkpoints.choose_step(
            self.folder, which, lambda folder: self._fault(int(folder.name))
        )
        if step is None:
            raise BadInput(f"{self.folder} holds no undamaged checkpoint")
        return step

    def save(self, state: TrainState, position: int, metrics: dict[str, float] | None) -> Path:
        """Start to write the state after a step. Training may continue in the meantime.

        Args:
          state: of the run.
          position: the number of examples drawn from the data so far, over all processes.
          metrics: `top1_error` of an evaluation at this step; None without one.

        Returns the folder of the checkpoint.
        """
        step = int(state.step)
        self.wait()  # as Orbax does: the digests of the previous checkpoint may not be written yet
        self._saving = step
        if metrics and not math.isfinite(_test_error(metrics)):
            metrics = None  # Orbax would rank NaN best
        if step not in self._manager.all_steps():
            saved = self._manager.save(
                step,
                # Orbax generates the constructors of its arguments while it runs.
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
                    data=ocp.args.JsonSave({"examples": position}),  # pyright: ignore[reportCallIssue]
                ),
                metrics=metrics,
            )
            if not saved:
                raise RuntimeError(f"Orbax declined to save step {step} in {self.folder}")
        return self.path(step)

    def wait(self) -> None:
        """Wait until the checkpoint is on the disk, and what it replaces is off it."""
        self._manager.wait_until_finished()
        self._delete_old()

    def restore(self, step: int, like: TrainState, shardings: TrainState) -> tuple[TrainState, int]:
        """Read the state and the data position that were saved after `step`.

        Args:
          step: of a checkpoint.
          like: a state of the same shapes, of arrays or `jax.ShapeDtypeStruct`.
          shardings: of its arrays.

        Raises BadInput if the checkpoint is damaged, or its network or optimizer is another one.
        """
        abstract = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), like, shardings
        )
        # Orbax generates the constructors of its arguments while it runs.
        arguments: Any = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract),  # pyright: ignore[reportCallIssue]
            data=ocp.args.JsonRestore(),  # pyright: ignore[reportCallIssue]
        )
        self._refuse_damaged(step)
        with _without_late_complaints():
            try:
                items: Any = self._manager.metadata(step).item_metadata
                saved = items["state"]
                if difference := describe_difference(getattr(saved, "tree", saved), abstract):
                    raise BadInput(f"checkpoint {self.path(step)} {difference}")
                restored = self._manager.restore(step, args=arguments)
                return restored["state"], restored["data"]["examples"]
            except BadInput:
                raise
            except Exception as error:  # Orbax raises many types, bare Exception among them
                reason = _first_line(error)
            gc.collect()
        raise BadInput(f"checkpoint {self.path(step)} cannot be read: {reason}")

    def _write_digests(self) -> None:
        """Write the digests of the checkpoint that Orbax has just written.

        Orbax calls this before it renames the temporary folder to the step, so a folder that is
        named as a step always holds its digests. It calls it in the background, which is the time
        to delete what the save before has replaced.
        """
        if not is_main_process():
            return
        self._delete_old()
        temporary = sorted(self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"))
        checksums.write(temporary[-1] if temporary else self.path(self._saving))

    def _delete_old(self) -> None:
        folder = self.folder / _DELETED
        if not self._read_only and is_main_process() and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)

    def _fault(self, step: int) -> str | None:
        if step not in self._faults:
            self._faults[step] = checksums.fault(self.path(step))
        return self._faults[step]

    def _refuse_damaged(self, step: int) -> None:
        if fault := self._fault(step):
            raise BadInput(f"checkpoint {self.path(step)} is damaged: {fault}")

    def _move_damaged_away(self) -> None:
        """Move damaged checkpoints, which Orbax would take for good ones, out of its folder."""
        steps = sorted(run_checkpoints.list_steps(self.folder))
        damaged = [step for step in steps if self._fault(step)]
        if damaged and damaged == steps:
            self._refuse_damaged(damaged[-1])
        for step in damaged:
            target = self.folder.parent / "damaged" / str(step)
            while target.exists():
                target = target.with_name(f"{target.name}.again")
            target.parent.mkdir(exist_ok=True)
            self.path(step).rename(target)
            print(
                f"note: checkpoint {self.path(step)} is skipped: {self._fault(step)}; "
                f"it is kept as {target}",
                file=sys.stderr,
            )


def _handlers() -> ocp.handlers.CheckpointHandlerRegistry:
    """Return what reads and writes the items of a checkpoint, by item and kind of argument."""
    registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
    arrays, numbers = ocp.StandardCheckpointHandler(), ocp.JsonCheckpointHandler()
    registry.add("state", ocp.args.StandardSave, arrays)
    registry.add("state", ocp.args.StandardRestore, arrays)
    registry.add("data", ocp.args.JsonSave, numbers)
    registry.add("data", ocp.args.JsonRestore, numbers)
    return registry


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def _without_late_complaints() -> Iterator[None]:
    """Suppress the messages of asyncio tasks that a failed read abandons, when they are freed."""
    hook, asyncio_logger = sys.unraisablehook, logging.getLogger("asyncio")
    sys.unraisablehook, asyncio_logger.disabled = lambda _: None, True
    try:
        yield
    finally:
        sys.unraisablehook, asyncio_logger.disabled = hook, False
