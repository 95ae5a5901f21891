"""Checkpoints of a run through Orbax: the latest and the best are kept."""

import contextlib
import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from train.config import BadInput
from train.step import TrainState


def _error(metrics: dict[str, float]) -> float:
    return metrics["top1_error"]


class Checkpoints:
    """The folder `checkpoints` of a run: model, optimiser, step and data position together.

    Kept are the latest two, and the one with the lowest test error.
    """

    def __init__(self, run_dir: Path, *, read_only: bool = False) -> None:
        """Open the folder, to write (it is made, and cleared of half-written steps) or to read.

        Raises BadInput if it cannot be read.
        """
        self.folder = run_dir.resolve() / "checkpoints"
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
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "data": ocp.JsonCheckpointHandler(),
        }
        if read_only and not self.folder.is_dir():
            raise BadInput(f"{run_dir} holds no checkpoint yet")
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

        Raises BadInput if there is none.
        """
        kept = sorted(self._manager.all_steps())
        if not kept:
            raise BadInput(f"{self.folder.parent} holds no checkpoint yet")
        named = {"best": self.best_step(), "latest": self.latest_step()}
        step = named.get(which) if isinstance(which, str) else which
        if step not in kept:
            steps = ", ".join(map(str, kept))
            raise BadInput(f"{self.folder} holds the steps {steps}, and not {which}")
        return step

    def save(self, state: TrainState, position: int, metrics: dict[str, float] | None) -> Path:
        """Begin to write the state after a step; the training may go on meanwhile.

        Args:
          state: of the run.
          position: the number of batches drawn from the data so far.
          metrics: of an evaluation at this step, with `top1_error`; None without one.
        """
        step = int(state.step)
        if step not in self._manager.all_steps():
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
                    data=ocp.args.JsonSave({"position": position}),  # pyright: ignore
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
        with _silenced():
            try:
                self._check_shapes(step, like)
                restored = self._manager.restore(step, args=arguments)
                return restored["state"], restored["data"]["position"]
            except BadInput:
                raise
            except Exception as error:  # Orbax raises many kinds, bare Exception among them
                reason = _first_line(error)
            gc.collect()
        raise BadInput(f"checkpoint {self.path(step)} cannot be read: {reason}")

    def _check_shapes(self, step: int, like: TrainState) -> None:
        """Raise BadInput, naming the first layer, if the checkpoint is that of another net."""
        tree = self._manager.item_metadata(step)["state"]
        saved = getattr(tree, "tree", tree)["params"]
        if saved.keys() != like.params.keys():
            raise BadInput(
                f"checkpoint {self.path(step)} holds the layers {', '.join(sorted(saved))}, "
                f"not {', '.join(sorted(like.params))}"
            )
        for name, layer in like.params.items():
            for field, leaf in layer._asdict().items():
                have, want = tuple(saved[name][field].shape), tuple(leaf.shape)
                if have != want:
                    raise BadInput(
                        f"checkpoint {self.path(step)} has {field} of {have} in {name}, not {want}"
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
