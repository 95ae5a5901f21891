"""Checkpoints of a run through Orbax: the latest and the best are kept."""

import contextlib
import gc
import logging
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from alexnet_jax.weights.files import checksums, run_checkpoints

from ..config.errors import BadInput
from ..runtime.distributed import barrier, is_main_process
from ..steps.train_step import TrainState
from .state_diff import first_difference


def _error(metrics: dict[str, float]) -> float:
    return metrics["top1_error"]


class Checkpoints:
    """The folder `checkpoints` of a run: model, optimizer, step and data position together.

    Kept are the latest two, and the one with the lowest test error. Each holds digests of its
    files; one that does not agree with them is named and skipped.
    """

    def __init__(self, run_dir: Path, *, read_only: bool = False) -> None:
        """Open the folder, to write or to read.

        To write it is made, and cleared of half-written steps; all checkpoints are compared with
        their digests, and damaged ones moved to the run's folder `damaged`. Raises BadInput if the
        folder cannot be read, or none of its checkpoints is whole.
        """
        self.folder = run_dir.resolve() / "checkpoints"
        self._faults: dict[int, str | None] = {}  # of those compared with their digests so far
        self._saving = 0
        if read_only and not self.folder.is_dir():
            raise BadInput(f"{run_dir} holds no checkpoint yet")
        if not read_only:
            if is_main_process():
                self._set_damaged_aside()
            barrier("the checkpoints")
        latest = preservation_policy.LatestN(2)
        # Orbax's own max_to_keep would keep the best only and delete the latest.
        best = preservation_policy.BestN(
            get_metric_fn=_error, reverse=True, n=1, keep_checkpoints_without_metrics=False
        )
        options = ocp.CheckpointManagerOptions(
            best_fn=_error,
            best_mode="min",
            preservation_policy=preservation_policy.AnyPreservationPolicy([latest, best]),
            cleanup_tmp_directories=not read_only,
            read_only=read_only,
            create=not read_only,
            # A reader looks only into those that it has found whole.
            lightweight_initialize=read_only,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "data": ocp.JsonCheckpointHandler(),
        }
        try:
            self._manager = ocp.CheckpointManager(
                self.folder, options=options, item_handlers=handlers, item_names=tuple(handlers)
            )
            self._manager.best_step()
        except Exception as error:  # Orbax raises many kinds
            raise BadInput(f"{self.folder} cannot be read: {_first_line(error)}") from None

    def __enter__(self) -> "Checkpoints":
        """Return the checkpoints, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for what is being written."""
        self._manager.close()

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
        """Return the step of the "best" or the "latest" checkpoint, or `which` itself.

        Damaged ones are named and skipped, for the next best or the one before. Raises BadInput if
        none is left, or if `which` is a step whose checkpoint is damaged or not there.
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
        """Begin to write the state after a step; the training may go on meanwhile.

        Args:
          state: of the run.
          position: the number of examples drawn from the data so far, over all processes.
          metrics: of an evaluation at this step, with `top1_error`; None without one.
        """
        step = int(state.step)
        self.wait()  # as Orbax would: the save before may not have been sealed yet
        self._saving = step
        if metrics and not math.isfinite(_error(metrics)):
            metrics = None  # Orbax would take it for the best
        if step not in self._manager.all_steps():
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
                    data=ocp.args.JsonSave({"examples": position}),  # pyright: ignore
                ),
                metrics=metrics,
            )
            if not saved:
                raise RuntimeError(f"Orbax declined to save step {step} in {self.folder}")
        return self.path(step)

    def wait(self) -> None:
        """Return when everything is on the disk."""
        self._manager.wait_until_finished()

    def restore(self, step: int, like: TrainState, shardings: TrainState) -> tuple[TrainState, int]:
        """Read the state and the data position that were saved after `step`.

        Args:
          step: one of those kept.
          like: a state of the same shapes, arrays or `jax.ShapeDtypeStruct`.
          shardings: where its arrays are to lie.

        Raises BadInput if the checkpoint is damaged, or that of another net.
        """
        abstract = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), like, shardings
        )
        arguments: Any = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract),  # pyright: ignore[reportCallIssue]
            data=ocp.args.JsonRestore(),  # pyright: ignore[reportCallIssue]
        )
        self._refuse_damaged(step)
        with _silenced():
            try:
                saved = self._manager.item_metadata(step)["state"]
                if found := first_difference(getattr(saved, "tree", saved), abstract):
                    raise BadInput(f"checkpoint {self.path(step)} {found}")
                restored = self._manager.restore(step, args=arguments)
                return restored["state"], restored["data"]["examples"]
            except BadInput:
                raise
            except Exception as error:  # Orbax raises many kinds, bare Exception among them
                reason = _first_line(error)
            gc.collect()
        raise BadInput(f"checkpoint {self.path(step)} cannot be read: {reason}")

    def _seal(self) -> None:
        """Orbax calls this when all is written, and renames the folder to its step behind it.

        So a folder named as a step holds its digests from the first moment on.
        """
        if not is_main_process():
            return
        unnamed = sorted(self.folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"))
        checksums.write(unnamed[-1] if unnamed else self.path(self._saving))

    def _fault(self, step: int) -> str | None:
        if step not in self._faults:
            self._faults[step] = checksums.fault(self.path(step))
        return self._faults[step]

    def _refuse_damaged(self, step: int) -> None:
        if fault := self._fault(step):
            raise BadInput(f"checkpoint {self.path(step)} is damaged: {fault}")

    def _set_damaged_aside(self) -> None:
        """Leave Orbax whole checkpoints only: it takes any folder with a number for one."""
        steps = sorted(run_checkpoints.list_steps(self.folder))
        damaged = [step for step in steps if self._fault(step)]
        if damaged and damaged == steps:
            self._refuse_damaged(damaged[-1])
        for step in damaged:
            aside = self.folder.parent / "damaged" / str(step)
            while aside.exists():
                aside = aside.with_name(f"{aside.name}.again")
            aside.parent.mkdir(exist_ok=True)
            self.path(step).rename(aside)
            print(
                f"note: checkpoint {self.path(step)} is skipped: {self._fault(step)}; "
                f"it is kept as {aside}",
                file=sys.stderr,
            )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep the tasks that a failed read leaves behind from complaining when they are collected."""
    hook, asyncio_logger = sys.unraisablehook, logging.getLogger("asyncio")
    sys.unraisablehook, asyncio_logger.disabled = lambda _: None, True
    try:
        yield
    finally:
        sys.unraisablehook, asyncio_logger.disabled = hook, False
