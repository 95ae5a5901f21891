"""A run from its first step to its last: `train(config)`."""

from contextlib import nullcontext

from ..config.config import Config
from ..data.skip_corrupt import SkipCorrupt
from ..figures.curves import draw_curves
from ..run_dir import disk_errors
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import make_checked_mesh, make_folder, open_run
from ..run_dir.metrics import MetricsLog
from ..runtime import lock
from ..runtime.distributed import fail_fast, is_main_process
from . import fine_tuning
from .build import Run, open_net_and_data
from .loop import Loop


def train(config: Config) -> dict[str, float]:
    """Train, or go on with a run, to its last step; report, draw and keep what came of it.

    Returns the final `test_loss` (nats), `test_top1_error`, `test_top5_error` (fractions).
    Raises BadInput on what the user can mend, Ended if the run stops before its last step.
    """
    architecture, data = open_net_and_data(config)
    mesh = make_checked_mesh(config, architecture)
    beginning = fine_tuning.read_initial_weights(config, architecture)
    folder = config.launch.run_dir if not is_main_process() else make_folder(config)
    assert folder is not None  # several processes have been told
    with (
        lock.held(folder) if is_main_process() else nullcontext(),
        disk_errors.end_run_on_disk_error(folder),
    ):
        config = open_run(config.replace(run_dir=folder), data)
        if beginning is not None:
            beginning.keep_mean(folder, data)
        return _train(Run(config, folder, architecture, data, mesh), beginning)


def _train(run: Run, beginning: fine_tuning.InitialWeights | None) -> dict[str, float]:
    data = run.data
    # Within the checkpoints, whose end would wait for others, and for a full disk to say so again.
    others, faults = fail_fast(), disk_errors.end_run_on_disk_error(run.folder)
    with Checkpoints(run.folder) as checkpoints, others, faults:
        state, position = run.start(checkpoints)
        if beginning is not None:
            state = beginning.apply_to(state, run.architecture)
        if is_main_process():
            print(run.heading(int(state.step)), flush=True)
            if said := fine_tuning.heading(run.config, run.architecture, beginning):
                print(said, flush=True)
        with MetricsLog(run.folder, int(state.step)) if is_main_process() else nullcontext() as log:
            results = Loop(run, checkpoints, log).to_last_step(state, position)
        best = checkpoints.best_step()
        if isinstance(data.train, SkipCorrupt) and data.train.corrupt:
            print(f"skipped {len(data.train.corrupt)} training pictures that cannot be decoded")
        if not is_main_process():
            return results
        print(_report(results, len(data.test)))
        print(f"curves      {draw_curves(run.folder)}")
        last = checkpoints.path(run.last_step)
        print(f"checkpoint  {last}  (lowest test error: step {best})")
    return results


def _report(results: dict[str, float], count: int) -> str:
    top1, top5 = (100 * (1 - results[f"test_top{k}_error"]) for k in (1, 5))
    return (
        f"test accuracy {top1:.2f} %  top-5 {top5:.2f} %  "
        f"(test error {100 - top1:.2f} %, {100 - top5:.2f} %, on {count:,} images)"
    )
