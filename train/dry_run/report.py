"""What a run would be, without running it: `python -m train.main ... --plan`."""

import math
import statistics
from collections.abc import Iterable
from pathlib import Path

import jax

from alexnet_jax import Architecture
from alexnet_jax.layer_specs import Gather
from alexnet_jax.towers import num_batch_shards

from ..config.config import Config
from ..data.synthetic import synthetic_data, synthetic_statistics
from ..run_dir.folder import get_architecture, make_checked_mesh, stored_size
from ..runtime.hlo import Transfer, list_transfers, memory_usage
from ..steps.schedules import MOST_CUTS
from ..trainer.build import Run, open_net_and_data
from .timing import StepTimer

PROBE = 10
"""Steps of which the median is taken for all."""

Line = tuple[str, str]


def plan(config: Config) -> None:
    """Print what the run would be, what it takes of each device, and how long it would last here.

    Nothing is kept. Raises BadInput as the run itself would.
    """
    run = planned_run(config)
    print(f"{run.architecture.name}, {config.recipe.experiment}, on {_devices(run)}")
    _show(recipe(run))
    with StepTimer(run) as trial:
        print("\non each device, by XLA's analysis of the compiled step", flush=True)
        _show(memory(trial))
        if config.launch.devices > 1:
            print("\nwhat each device sends in a step")
            _show(traffic(run, list_transfers(trial.program)))
        print(f"\nby {PROBE} steps on {_source(config)}", flush=True)
        _show(duration(run, trial.seconds(PROBE), trial.seconds_of_evaluation()))


def planned_run(config: Config) -> Run:
    """Return the run on its data or, with --plan-images, on noise in their place."""
    if config.launch.plan_images:
        train, test = (*config.launch.plan_images, 0)[:2]
        architecture = get_architecture(config).with_classes(config.launch.plan_classes)
        size = stored_size(config, architecture)
        data = synthetic_data(size, train=train, test=test, classes=config.launch.plan_classes)
    else:
        architecture, data = open_net_and_data(config)
        size = stored_size(config, architecture)
    mesh = make_checked_mesh(config, architecture)
    return Run(config, Path(), architecture, data, mesh, synthetic_statistics(size))


def recipe(run: Run) -> list[Line]:
    """Return what the net, the data and the configuration say by themselves."""
    config, net, data = run.config, run.architecture, run.data
    parameters = sum(info.parameters for info in net.layer_info())
    epochs = run.last_step / run.steps_per_epoch
    return [
        ("net", f"{parameters:,} parameters, {net.towers} tower{'s' * (net.towers > 1)}"),
        ("data", f"{_counts(run)}, {len(data.class_names):,} classes"),
        ("images", ", ".join(_images(run))),
        (
            "step",
            f"{config.recipe.batch_size} images, {config.recipe.batch_size * flops(net) / 1e9:,.1f} GFLOP "
            f"forward and backward, {config.recipe.precision}",
        ),
        ("epoch", f"{run.steps_per_epoch:,.1f} steps"),
        ("run", f"{epochs:.4g} epochs, {run.last_step:,} steps"),
        ("rule", _rule(config)),
        *schedule(run),
    ]


def _images(run: Run) -> list[str]:
    """How large they are, and what is done to those that the net learns from."""
    config, size, stored = run.config, run.architecture.image_sizes[0], len(run.mean)
    said = [f"{size} of {stored} pixels square"]
    said += ["random patches"] * (stored > size) + ["reflections"] * config.recipe.flip
    said += [f"{config.recipe.crops_together} in a row alike"] * (config.recipe.crops_together > 1)
    if config.recipe.pca_color != "none":
        until = config.recipe.pca_color_until
        end = f" until epoch {until:g}" if until is not None else ""
        said.append(f"color noise: {config.recipe.pca_color}{end}")
    return said


def _rule(config: Config) -> str:
    """The optimizer and what it goes by, but the schedule."""
    name = {"sgd": "SGD", "adam": "Adam", "lars": "LARS"}[config.recipe.optimizer]
    said = (
        f"{name}, momentum {config.recipe.momentum:g}, weight decay {config.recipe.weight_decay:g}"
    )
    if config.recipe.weight_decay and not config.recipe.decay_biases:
        said += ", none of biases"
    if config.recipe.warmup_epochs:
        said += f", {config.recipe.warmup_epochs:g} epochs of warm-up from {config.recipe.learning_rate:g}"
    return said


def flops(architecture: Architecture) -> int:
    """Return the operations of training on one image, a product and its sum counting as two.

    Forward, for the weights' gradient and for the inputs' they are as many, but the images' own
    gradient is never taken.
    """
    work = [n for info in architecture.layer_info() if (n := info.multiply_accumulates)]
    return 2 * (3 * sum(work) - work[0])


def schedule(run: Run) -> list[Line]:
    """Return the learning rates by epoch."""
    config, rows = run.config, run.schedule.rows
    if run.schedule.on_plateau:
        rule = (
            f"{_rates(*rows[0][1:3])}, divided by ten, at most {MOST_CUTS} times, when the test "
            f"error has not fallen for {config.recipe.patience} epochs"
        )
        return [("rate", rule)]
    lines = []
    for start, weights, biases, layers in rows:
        epoch = f"epoch {round(start / run.steps_per_epoch, 2):g}"
        of = f", {', '.join(layers)} alone" if layers else ""
        late = ", which is behind the end" if start >= run.last_step else ""
        lines.append(("rate", f"from {epoch}{late}: {_rates(weights, biases)}{of}"))
    return lines


def memory(trial: StepTimer) -> list[Line]:
    """Return the bytes on each device: of the state, of a batch, and of what comes and goes."""
    run, found = trial.run, memory_usage(trial.program)
    params = _held(run.shardings.params, trial.state.params)
    moments = _held(run.shardings.opt_state, trial.state.opt_state)
    lines = [("parameters", amount(params))]
    lines.append(
        ("velocity" if run.config.recipe.optimizer == "sgd" else "moments", amount(moments))
    )
    if found is None:
        return [*lines, ("the rest", "XLA has no analysis of it for these devices")]
    batch = found.arguments - params - moments
    return [
        *lines,
        ("images, labels", amount(batch)),
        ("activations", f"{amount(found.temporaries)}, with gradients and room to work in"),
        ("together", amount(found.total)),
    ]


def traffic(run: Run, transfers: Iterable[Transfer]) -> list[Line]:
    """Return what each device sends to others in a step, and for which layer."""
    readers: dict[int, list[str]] = {}  # by what they see: layers that see as much share a line
    steps, batch = (
        run.architecture.layer_info(),
        run.config.recipe.batch_size // num_batch_shards(run.mesh),
    )
    for number, step in enumerate(steps):
        if isinstance(step.spec, Gather) and not step.replicated_in:
            reader = next(later.name for later in steps[number:] if later.weight_shape)
            readers.setdefault(batch * math.prod(step.output_shape), []).append(reader)
    places = {
        ("all-reduce", batch * run.architecture.classes): f"the sum of {steps[-1].name}'s scores"
    }
    for joined, names in readers.items():
        places["all-gather", joined] = f"what {' or '.join(names)} sees"
        back = f"and its gradient on the way back from {' or '.join(names)}"
        places["reduce-scatter", joined // 2] = back
    lines, total = [], 0.0
    for moved in transfers:
        place = places.get((moved.operation, moved.numbers), f"{moved.numbers:,} numbers")
        lines.append((moved.operation, f"{amount(moved.sent)}  {place}"))
        total += moved.sent
    return [*lines, ("together", f"{amount(total)}  in {len(lines)} exchanges")]


def duration(run: Run, seconds: list[float], evaluation: float) -> list[Line]:
    """Return the time of a step, and what follows for the whole run."""
    step = statistics.median(seconds)
    rate = run.config.recipe.batch_size / step
    training = step * run.last_step
    count = evaluations(run)
    speed = rate * flops(run.architecture) / 1e9
    return [
        ("step", f"{step:.3g} s (the slowest {max(seconds):.3g} s)"),
        ("speed", f"{rate:,.1f} images/s, {speed:,.0f} GFLOP/s"),
        ("training", span(training)),
        ("evaluations", f"{count:,} of {span(evaluation)} each" if evaluation else "not counted"),
        ("the whole run", span(training + count * evaluation)),
    ]


def evaluations(run: Run) -> int:
    """Return how often the run evaluates: after steps that end an epoch, and after the last."""
    size, images, last = run.config.recipe.batch_size, len(run.data.train), run.last_step
    ends = [step * size // images for step in (last - 1, last)]
    return min(last, ends[1]) + (ends[0] == ends[1])


def span(seconds: float) -> str:
    """Return a duration in its largest unit, as "37.1 days"."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def amount(count: float) -> str:
    """Return a number of bytes as "121.9 MB", a small one as "20.4 kB"."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def _held(shardings: object, arrays: object) -> int:
    """The bytes that one device holds of a pytree of arrays."""
    parts = jax.tree.map(
        lambda where, x: math.prod(where.shard_shape(x.shape)) * x.dtype.itemsize, shardings, arrays
    )
    return sum(jax.tree.leaves(parts))


def _devices(run: Run) -> str:
    count, kind = run.mesh.size, run.mesh.devices.flat[0].device_kind
    return f"{count} device{'s' * (count > 1)} ({kind})"


def _counts(run: Run) -> str:
    train, test = len(run.data.train), len(run.data.test)
    tested = (
        f"{train:,} training and {test:,} test images" if test else f"{train:,} training images"
    )
    return tested + ", imagined" * bool(run.config.launch.plan_images)


def _source(config: Config) -> str:
    if config.launch.plan_images:
        return "images of noise, which need no reading"
    return f"images as they are read from {config.data.path or 'the package'}"


def _rates(weights: float, biases: float) -> str:
    return f"{weights:.3g}" if weights == biases else f"{weights:.3g}, biases {biases:.3g}"


def _show(lines: Iterable[Line]) -> None:
    for name, text in lines:
        print(f"  {name:<15}{text}")
