"""A dry run's report: `python -m train.main ... --plan`."""

import math
import statistics
from collections.abc import Iterable

import jax

from alexnet_jax import Architecture

from ..config.config import Config
from ..config.network import get_architecture
from ..config.recipe import Recipe
from ..data.stored_size import stored_size
from ..data.synthetic import synthetic_data
from ..runtime import backend
from ..runtime.arithmetic import bfloat16_note, describe_products
from ..runtime.hlo import list_transfers, memory_usage
from ..runtime.mesh import make_mesh
from ..runtime.progress import ProgressBar
from ..steps.schedules import MAX_DECAYS
from ..steps.train_step import state_shardings
from ..trainer.build import Run, load_network_and_data
from .timing import StepTimer, synthetic_run
from .traffic import Row, amount, traffic

PROBE = 5
"""Steps that are timed at most; their median stands for all."""
LIMIT = 20.0
"""Seconds after which no further step is timed: five steps of PAPER on two quiet CPU cores."""


@backend.without_x64()
def plan(config: Config) -> None:
    """Print what the run would do, the memory it takes on each device, and how long it would take.

    Writes nothing. Raises BadInput as the run itself would.
    """
    run = planned_run(config)
    print(f"{run.architecture.name}, {config.recipe.experiment}, on {_devices(run)}")
    _show(recipe(run))
    if note := bfloat16_note(config.recipe.precision, run.mesh.devices.flat[0]):
        print(note)
    with _timer(run) as timer:
        print("\non each device, by XLA's analysis of the compiled step", flush=True)
        _show(memory(timer))
        if config.launch.devices > 1:
            print("\nsent by each device in a step")
            _show(traffic(run, list_transfers(timer.program)))
        seconds = _time_steps(timer)
        print(f"\nfrom {_plural(len(seconds), 'step')} on {_source(config)}", flush=True)
        _show([("compiled in", f"{timer.compile_seconds:.1f} s"), *duration(run, seconds)])


def _timer(run: Run) -> StepTimer:
    """Compile the step, and say so while a person waits for it."""
    with ProgressBar(PROBE + 1, "compiling the training step", transient=True) as bar:
        bar.update(0, "compiling the training step", "\ncompiling the training step", last=True)
        return StepTimer(run)


def _time_steps(timer: StepTimer) -> list[float]:
    """Time steps, and show each."""
    with ProgressBar(PROBE + 1, "the first step", transient=True) as bar:

        def show(steps: int, seconds: float) -> None:
            text = f"{_plural(steps, 'step')} of {PROBE + 1}, the latest in {seconds:.3g} s"
            bar.update(steps, text, text)

        return timer.seconds(PROBE, LIMIT, show)


def planned_run(config: Config) -> Run:
    """Return the run on its data or, with `plan_images`, on synthetic images."""
    launch = config.launch
    architecture = get_architecture(config)
    if launch.plan_images:
        architecture = architecture.with_classes(launch.plan_classes)
        train, test = (*launch.plan_images, 0)[:2]
        size = stored_size(config, architecture)
        data = synthetic_data(size, train=train, test=test, classes=launch.plan_classes)
    else:
        architecture, data = load_network_and_data(config)
    mesh = make_mesh(architecture, launch.devices, config.recipe.batch_size, layout=launch.layout)
    return synthetic_run(config, architecture, data, mesh)


def recipe(run: Run) -> list[Row]:
    """Return what follows from the network, the data and the configuration."""
    settings, network = run.config.recipe, run.architecture
    gigaflops = settings.batch_size * flops(network) / 1e9
    epochs = run.last_step / run.steps_per_epoch
    return [
        ("network", f"{network.parameters:,} parameters, {_plural(network.towers, 'tower')}"),
        ("data", f"{_counts(run)}, {len(run.data.class_names):,} classes"),
        ("images", ", ".join(_images(run))),
        (
            "step",
            f"{settings.batch_size} images, {gigaflops:,.1f} GFLOP forward and backward, "
            f"products in {describe_products(settings.precision, run.mesh.devices.flat[0])}",
        ),
        ("epoch", f"{run.steps_per_epoch:,.1f} steps"),
        ("run", f"{epochs:.4g} epochs, {run.last_step:,} steps"),
        ("optimizer", _optimizer(settings)),
        *learning_rates(run),
    ]


def _images(run: Run) -> list[str]:
    """Image sizes, and how training images are augmented."""
    settings = run.config.recipe
    size, stored = run.architecture.image_sizes[0], len(run.statistics.mean)
    parts = [f"{size} of {stored} pixels square"]
    if settings.crop_area is not None:
        parts.append(f"random crops of {settings.crop_area:g} to all of the area, resized")
    elif stored > size:
        parts.append(f"{settings.train_crops} crops")
    if settings.flip:
        parts.append("horizontal flips")
    if settings.crops_together > 1:
        parts.append(f"{settings.crops_together} in a row alike")
    if settings.pca_color != "none":
        until = settings.pca_color_until
        end = f" until epoch {until:g}" if until is not None else ""
        parts.append(f"PCA color augmentation: {settings.pca_color}{end}")
    return parts


def _optimizer(settings: Recipe) -> str:
    """The optimizer with its settings, without the schedule."""
    name = {"sgd": "SGD", "adam": "Adam", "lars": "LARS"}[settings.optimizer]
    text = f"{name}, momentum {settings.momentum:g}, weight decay {settings.weight_decay:g}"
    if settings.layer_weight_decay:
        text += f" ({' '.join(settings.layer_weight_decay)})"
    if (settings.weight_decay or settings.layer_weight_decay) and not settings.decay_biases:
        text += ", none of biases"
    if settings.warmup_epochs:
        rate = settings.learning_rate
        text += f", {settings.warmup_epochs:g} epochs of warm-up from {rate:g}"
    return text


def flops(architecture: Architecture) -> int:
    """Return the operations of training on one image; a multiply and an add count as two.

    The forward pass, the gradient of the weights and that of the inputs take as many each, but the
    gradient of the images themselves is never computed.
    """
    first = next(n for info in architecture.layer_info() if (n := info.multiply_accumulates))
    return 3 * forward_flops(architecture) - 2 * first


def forward_flops(architecture: Architecture) -> int:
    """Return the operations of a forward pass of one image."""
    return 2 * sum(info.multiply_accumulates for info in architecture.layer_info())


def learning_rates(run: Run) -> list[Row]:
    """Return the learning rates by epoch."""
    rows = run.schedule.rows
    if run.schedule.on_plateau:
        part = "test" if run.data.val is None else "validation"
        text = (
            f"{_rates(*rows[0][1:3])}, divided by ten, at most {MAX_DECAYS} times, when the {part} "
            f"error has not fallen for {run.config.recipe.patience} epochs"
        )
        return [("learning rate", text)]
    lines = []
    for start, weights, biases, layers in rows:
        epoch = f"epoch {round(start / run.steps_per_epoch, 2):g}"
        late = ", after the end of the run" if start >= run.last_step else ""
        only = f", {', '.join(layers)} alone" if layers else ""
        lines.append(("learning rate", f"from {epoch}{late}: {_rates(weights, biases)}{only}"))
    if run.schedule.cosine_end is not None:
        epoch = f"epoch {run.schedule.cosine_end / run.steps_per_epoch:.4g}"
        lines.append(("learning rate", f"to {epoch}: along half a cosine to 0"))
    return lines


def memory(timer: StepTimer) -> list[Row]:
    """Return the bytes on each device: of the state, of a batch, and of temporaries."""
    run, usage = timer.run, memory_usage(timer.program)
    shardings = state_shardings(run.architecture, run.optimizer, run.mesh)
    params = _bytes_on_a_device(shardings.params, timer.state.params)
    opt_state = _bytes_on_a_device(shardings.opt_state, timer.state.opt_state)
    name = "velocity" if run.config.recipe.optimizer == "sgd" else "moments"
    rows = [("parameters", amount(params)), (name, amount(opt_state))]
    if usage is None:
        return [*rows, ("the rest", "XLA has no analysis for these devices")]
    return [
        *rows,
        ("images, labels", amount(usage.arguments - params - opt_state)),
        ("activations", f"{amount(usage.temporaries)}, with gradients and workspace"),
        ("total", amount(usage.total)),
    ]


def duration(run: Run, seconds: list[float]) -> list[Row]:
    """Return the time of a step, and of the whole run that follows from it.

    An evaluated image takes the share of a step's operations that its forward pass has.
    """
    step, work = statistics.median(seconds), flops(run.architecture)
    rate = run.config.recipe.batch_size / step
    training, count = step * run.last_step, evaluations(run)
    evaluation, last = _evaluated_images(run)
    forward = forward_flops(run.architecture) / work / rate
    evaluating = forward * (count * evaluation + last)
    each = f"{count:,} of about {span(forward * evaluation)} each" if evaluation else "not counted"
    return [
        ("step", f"{step:.3g} s (the slowest {max(seconds):.3g} s)"),
        ("speed", f"{rate:,.1f} images/s, {rate * work / 1e9:,.0f} GFLOP/s"),
        ("training", span(training)),
        ("evaluations", each + (f", and the test's {span(forward * last)}" if last else "")),
        ("the whole run", span(training + evaluating)),
    ]


def _evaluated_images(run: Run) -> tuple[int, int]:
    """The images of each evaluation, and those evaluated once, at the end of the run."""
    data = run.data
    if data.val is None or data.val is data.test:
        return len(data.test), 0
    return len(data.val), len(data.test)


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


def _bytes_on_a_device(shardings: object, arrays: object) -> int:
    """The bytes that one device holds of a pytree of arrays."""
    parts = jax.tree.map(
        lambda sharding, x: math.prod(sharding.shard_shape(x.shape)) * x.dtype.itemsize,
        shardings,
        arrays,
    )
    return sum(jax.tree.leaves(parts))


def _devices(run: Run) -> str:
    kind = run.mesh.devices.flat[0].device_kind
    return f"{_plural(run.mesh.size, 'device')} ({kind})"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"


def _counts(run: Run) -> str:
    data = run.data
    parts = [f"{len(data.train):,} training"]
    if data.val is not None and data.val is not data.test:
        parts.append(f"{len(data.val):,} validation")
    if len(data.test):
        parts.append(f"{len(data.test):,} test")
    text = ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1] + " images"
    return text + ", synthetic" * bool(run.config.launch.plan_images)


def _source(config: Config) -> str:
    if config.launch.plan_images:
        return "synthetic images, which need no reading"
    return f"images read from {config.data.path or 'the package'}"


def _rates(weights: float, biases: float) -> str:
    return f"{weights:.3g}" if weights == biases else f"{weights:.3g}, biases {biases:.3g}"


def _show(rows: Iterable[Row]) -> None:
    for label, text in rows:
        print(f"  {label:<15}{text}")
