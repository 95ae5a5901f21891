"""A run from its first step to its last: `train(config)`."""

import signal
from contextlib import closing, nullcontext

import jax

from alexnet_jax.towers import global_batch, num_batch_shards

from ..config.config import Config
from ..config.errors import BadInput, Ended, as_called
from ..config.saved import with_saved_validation
from ..data.examples import DataSet
from ..data.held_out import leave_out_corrupt
from ..data.skip_corrupt import SkipCorrupt
from ..figures.curves import draw_curves
from ..run_dir import disk_errors
from ..run_dir.checkpoints import Checkpoints
from ..run_dir.folder import (
    load_or_measure_statistics,
    make_folder,
    open_run,
    record_run,
)
from ..run_dir.metrics import MetricsLog
from ..run_dir.open_folder import OpenFolder
from ..runtime import backend, device_memory, lock, stop_signal
from ..runtime.cores import decoding_threads
from ..runtime.distributed import fail_fast, is_main_process
from ..runtime.mesh import make_mesh
from ..runtime.progress import RunProgress
from . import agreement, build, description, fine_tuning
from .build import Run
from .data_wait import describe_wait
from .loop import STEPS_AHEAD, train_loop
from .loss_monitor import Divergence, last_good_checkpoint
from .read_ahead import ReadAhead
from .recorder import Callback, Recorder


@backend.without_x64()
def train(
    config: Config,
    data: DataSet | None = None,
    *,
    on_step: Callback | None = None,
    on_epoch: Callback | None = None,
) -> dict[str, float]:
    """Train, or continue a run, to its last step; report, draw and save the result.

        data = DataSet(train=source, val=source, test=source, class_names=("cat", "dog"))
        train(Config().replace(epochs=6, run_dir=Path("run")), data, on_step=print)

    Args:
      config: of the run.
      data: in place of the data that `config` names; its sources are any objects with `__len__` and
        `__getitem__`, which returns an `Example` of the run's stored size.
      on_step: takes the number of each step and its metrics: `loss` (nats) and `top1_error` (a
        fraction) on the batch, `learning_rate`, `epoch`, `images_per_second`. It is called up
        to two steps late, while those run, but for all steps before an evaluation or a save. The
        run ends early once it has returned True.
      on_epoch: takes the number of each epoch and its metrics: `train_loss` (nats) and
        `train_top1_error` (a fraction), the means over the steps of the epoch, and `val_loss`,
        `val_top1_error` and `val_top5_error`. Of a run without validation images, the latter are
        `test_loss` and so on. The run ends early once it has returned True.

    Returns:
      The metrics of the last epoch, and the final `test_loss` (nats), `test_top1_error` and
      `test_top5_error` (fractions).

    Raises:
      BadInput: something that the user can mend.
      Ended: the run stopped before its last step, by a signal or a fault.
    """
    if config.launch.plan:
        raise BadInput("`plan` trains nothing; train.dry_run.report.plan(config) makes the report")
    config, own_data = with_saved_validation(config), data is not None
    agreement.refuse_other_flags_or_code(config)
    architecture, data = build.load_network_and_data(config, data)
    agreement.refuse_other_data(data)
    data = leave_out_corrupt(data, config.data.bad_images, decoding_threads(config.data.threads))
    launch = config.launch
    mesh = make_mesh(architecture, launch.devices, config.recipe.batch_size, layout=launch.layout)
    frozen = fine_tuning.frozen_layers(config, architecture)
    optimizer = build.make_optimizer(config.recipe, architecture)
    initial = fine_tuning.read_initial_weights(config, architecture, data.class_names)
    with (
        _open_folder(config, own_data=own_data) as folder,
        lock.acquire(folder.path) if is_main_process() else nullcontext(),
        disk_errors.end_run_on_disk_error(folder),
        folder.end_on_interrupt(),
    ):
        config = open_run(config.replace(run_dir=folder.path), data)
        if initial is not None:
            initial.keep_mean(folder.path, data)
        statistics = load_or_measure_statistics(folder.path, data, mean=config.recipe.mean)
        schedule = build.make_schedule(config.recipe, len(data.train), frozen)
        run = Run(config, architecture, data, mesh, statistics, schedule, optimizer)
        # Closing the checkpoints waits for the other processes and for pending writes. The
        # guards sit inside, so that they catch fatal errors before that wait.
        with (
            Checkpoints(folder.path) as checkpoints,
            fail_fast(),
            disk_errors.end_run_on_disk_error(folder),
            folder.end_on_interrupt(),
        ):
            state, position = build.restore_or_init(run, checkpoints)
            if initial is not None:
                state = initial.apply_to(state, architecture)
            if is_main_process():
                print(description.describe_run(run, folder.path, int(state.step)), flush=True)
                notes = [
                    *description.arithmetic_notes(run, folder.path, int(state.step)),
                    *data.notes,
                ]
                print(*map(as_called, notes), description.describe_parts(run), sep="\n", flush=True)
                if text := fine_tuning.describe(config, architecture, initial):
                    print(text, flush=True)
            results = _run_steps(run, state, position, folder, checkpoints, on_step, on_epoch)
            if is_main_process():
                _report(run, results, checkpoints)
    return results


def _open_folder(config: Config, *, own_data: bool) -> OpenFolder:
    """Return the folder of the run, which the first of several processes makes."""
    if is_main_process():
        return make_folder(config, own_data=own_data)
    assert config.launch.run_dir is not None  # several processes are given one
    return OpenFolder(config.launch.run_dir, own_data=own_data)


def _run_steps(
    run: Run,
    state: build.TrainState,
    position: int,
    folder: OpenFolder,
    checkpoints: Checkpoints,
    on_step: Callback | None,
    on_epoch: Callback | None,
) -> dict[str, float]:
    """Run the steps that are left, with everything around them. Returns the final metrics."""
    first, size = int(state.step), run.config.recipe.batch_size
    shown = is_main_process()
    with (
        MetricsLog(folder.path, first) if shown else nullcontext() as log,
        RunProgress(first, run.last_step, size, shown=shown) as progress,
    ):
        recorder = Recorder(
            run,
            folder,
            checkpoints,
            log,
            progress,
            state=state,
            position=position,
            divergence=Divergence(run, checkpoints, step=first, position=position),
            on_step=on_step,
            on_epoch=on_epoch,
        )
        if first == run.last_step:
            return recorder.final_results(state)
        train_step = build.compile_step(run, state)
        if shown:
            # Now that nothing more is refused.
            record_run(run.config, run.data, description.arithmetic(run, first))
        consensus = stop_signal.StopConsensus(run.mesh, STEPS_AHEAD)
        with (
            closing(build.make_batches(run, position)) as local_batches,
            ReadAhead(global_batch(batch, run.mesh, size) for batch in local_batches) as batches,
            stop_signal.defer_signals() as stop,
        ):
            try:
                state, reason = train_loop(
                    train_step,
                    state,
                    batches,
                    range(first + 1, run.last_step + 1),
                    record=recorder.record,
                    is_due=recorder.is_due,
                    evaluate_and_save=recorder.evaluate_and_save,
                    save=recorder.save,
                    poll_stop=lambda: consensus.poll(
                        stop_signal.CALLBACK if recorder.stop_requested else stop.signal
                    ),
                )
            except jax.errors.JaxRuntimeError as error:
                if device_memory.is_out_of_memory(error):
                    raise _out_of_memory(run, checkpoints) from None
                raise
        if (share := batches.share_waited()) is not None:
            progress.say(as_called(describe_wait(share, run)))
        if reason is not None and reason != stop_signal.CALLBACK:
            recorder.wait(state)
            raise _stopped(reason, int(state.step), folder)
        results = recorder.final_results(state)
        recorder.wait(state)
        return results


def _report(run: Run, results: dict[str, float], checkpoints: Checkpoints) -> None:
    """Print the final accuracies, and where the curves and the checkpoint are."""
    train_source = run.data.train
    if isinstance(train_source, SkipCorrupt) and train_source.corrupt:
        print(f"skipped {len(train_source.corrupt)} training pictures that cannot be decoded")
    chooser = "test"
    if run.data.val is not None:
        chooser, accuracy = "validation", 100 * (1 - results["val_top1_error"])
        print(f"validation accuracy {accuracy:.2f} %  (on {len(run.data.val):,} images)")
    top1, top5 = (100 * (1 - results[f"test_top{k}_error"]) for k in (1, 5))
    print(
        f"test accuracy {top1:.2f} %  top-5 {top5:.2f} %  "
        f"(test error {100 - top1:.2f} %, {100 - top5:.2f} %, on {len(run.data.test):,} images)"
    )
    latest, best = checkpoints.latest_step(), checkpoints.best_step()
    assert latest is not None
    try:
        curves = str(draw_curves(checkpoints.folder.parent))
    except BadInput as error:  # the run is over all the same
        curves = f"none: {error}"
    print(f"curves      {curves}")
    print(f"checkpoint  {checkpoints.path(latest)}  (lowest {chooser} error: step {best})")


def _out_of_memory(run: Run, checkpoints: Checkpoints) -> Ended:
    size, shards = run.config.recipe.batch_size, num_batch_shards(run.mesh)
    smaller = shards * max(1, size // shards // 2)
    return Ended(
        f"stopped: a device has no memory left at `batch_size` {size}; another program may be "
        f"using it, or a new run with `batch_size` {smaller} would help; "
        f"{last_good_checkpoint(checkpoints)}",
        1,
    )


def _stopped(number: int, step: int, folder: OpenFolder) -> Ended:
    return Ended(
        f"stopped by {signal.Signals(number).name} after step {step}, saved; "
        f"continue with: {folder.way_on()}",
        128 + number,
    )
