"""A state whose folder was deleted or renamed during training is saved all the same."""

import jax

from ..config.errors import Ended
from ..data.image_statistics import write_statistics
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import record_run
from ..run_dir.open_folder import NEEDED, OpenFolder
from ..steps.train_step import TrainState
from .build import Run
from .description import arithmetic


def save_elsewhere(
    run: Run, folder: OpenFolder, state: TrainState, position: int, metrics: dict[str, float] | None
) -> Ended:
    """Save a state in the renamed folder, or in a new one in place of the deleted one.

    Args:
      run: whose folder is not intact any more.
      folder: of the run.
      state: after a step.
      position: as for `Checkpoints.save`.
      metrics: as for `Checkpoints.save`.

    Returns what ends the run: it says where the state is, and how to continue.
    """
    now, step = folder.path_now(), int(state.step)
    what = f"{folder.path} was deleted" if now is None else f"{folder.path} was renamed to {now}"
    if now == folder.path:
        what = f"files of {folder.path} were deleted"
    target = now or folder.path
    if jax.process_count() > 1:
        return Ended(f"stopped: {what} during training; step {step} is not saved", 1)
    if now is None and (target / "config.json").exists():
        return Ended(f"stopped: {what}, and another run is there; step {step} is not saved", 1)
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / "checkpoints").mkdir(exist_ok=True)
        if not all((target / name).exists() for name in NEEDED):
            config = run.config.replace(run_dir=target, resume=False)
            record_run(config, run.data, arithmetic(run, 0))
            write_statistics(target, run.statistics)
        with Checkpoints(target) as checkpoints:
            checkpoints.save(state, position, metrics)
    except Exception as error:  # Orbax raises many types
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return Ended(f"stopped: {what} during training; step {step} cannot be saved: {reason}", 1)
    return Ended(
        f"stopped: {what} during training; step {step} is saved in {target}; "
        f"continue with: {folder.way_on(target)}",
        1,
    )
