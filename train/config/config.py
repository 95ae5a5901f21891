"""One frozen dataclass is the configuration, the command line, and what a run folder remembers."""

import builtins
import dataclasses
import itertools
import json
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import BadInput

COMMAND = f"python -m {__name__.split('.')[0]}.main"
"""What a user types; the package has another name where it is installed from a wheel."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a net by the paper's recipe (section 5) and report its test error."""

    experiment: str = "digits"
    """Where the other flags' defaults come from: one of the experiments named above."""
    net: str = "DIGITS"
    """The net, by its name in alexnet_jax.architectures."""
    data: Path | None = None
    """Records of train.prepare, IDX files, CIFAR's binary batches, or images in DIR/train/CLASS and
    DIR/test/CLASS or in DIR/CLASS; if None, those of the package, for the experiment digits."""
    data_kind: Literal["auto", "records", "idx", "cifar", "folder"] = "auto"
    """What --data holds."""
    held_out: float = 0.1
    """For --data DIR/CLASS/* without a split of its own, and no other: the fraction of each class
    that is held out to test on. The seed decides which pictures."""
    devices: int = 1
    """1, or 2 for one tower on each; 4, 6, 8, ... divide the batch, too, and so does any number of
    them for a net of one tower. Over all processes, if there are several."""
    coordinator: str | None = None
    """HOST:PORT of process 0, for several processes by hand; under SLURM, Open MPI, Kubernetes and
    on Cloud TPUs they find each other."""
    processes: int | None = None
    """How many there are, by hand."""
    process_id: int | None = None
    """Which of them this is, from 0 on, by hand."""
    run_dir: Path | None = None
    """Where the run is kept; a new folder in runs/ if None."""
    resume: bool = False
    """Go on with the run in --run-dir; its flags need not be said again."""
    plan: bool = False
    """Train nothing and write nothing: print what the run would be, what it takes of each device,
    and after ten steps how long it would last here."""
    plan_images: tuple[int, ...] = ()
    """For --plan without the data: how many training images there are, and how many test images."""
    plan_classes: int = 1000
    """And of how many classes."""
    seed: int = 0
    """The one seed; every random stream is derived from it."""
    epochs: float = 16.0
    """Cycles through the training images."""
    steps: int | None = None
    """Stop after so many steps instead."""
    batch_size: int = 64
    """Images per step."""
    optimizer: Literal["sgd", "adam", "lars"] = "sgd"
    """The rule of section 5, or Adam, or LARS for large batches, whose rates are of another kind:
    at 1, a layer's weights move by 0.001 of their norm."""
    learning_rate: float = 0.01
    """Of most weights, at the start."""
    base_batch: int | None = None
    """The batch size that the rates are meant for: they are multiplied by --batch-size / this."""
    warmup_epochs: float = 0.0
    """With --base-batch: so long the rates rise evenly from those to the multiplied ones."""
    schedule: Literal["cuts", "plateau", "original", "dexp"] = "cuts"
    """What becomes of it: cuts divides it by ten after each of --cut-epochs; plateau, as the paper
    has it, up to three times, when the error on the held-out images has stopped improving; original
    takes the rates and epochs of the original program's net 145, dexp those of cuda-convnet2."""
    cut_epochs: tuple[float, ...] = (10.0, 14.0)
    """Of the schedule cuts."""
    patience: int = 5
    """Of the schedule plateau: evaluations, one an epoch, without a lower error before a cut."""
    bias_rate: float = 1.0
    """Of the schedules cuts and plateau: biases learn at so many times the weights' rate."""
    momentum: float = 0.9
    """Of the velocity; Adam's beta_1."""
    weight_decay: float = 5e-4
    """Times the weight, added to its gradient in each step."""
    decay_biases: bool = True
    """Let biases decay as weights do: the paper's formula does not spare them, its program did."""
    stored_size: int | None = None
    """Images are brought to this many pixels square, out of which the net's input is cropped;
    8/7 of that input if None, as the paper's 256 for 224, but no more than records hold."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the net computes in while it learns; bfloat16 for GPUs and TPUs. Parameters, velocity,
    sums and the evaluation stay in float32."""
    init: Path | None = None
    """Begin with the parameters of this run's folder or file of weights; the output layer is drawn
    anew if the data have another number of classes."""
    freeze: str | None = None
    """Layers that keep their parameters, by name: conv1,conv2."""
    classes: int | None = None
    """How many classes the data must have; any number if None."""
    flip: bool = False
    """Mirror half of the training images."""
    mean: Literal["image", "channel"] = "image"
    """What is subtracted: the mean training image, pixel by pixel, as in the paper, or one number
    for each of red, green and blue."""
    patches_together: int = 1
    """So many images in a row share the place of their random patch, and its reflection: 32 in the
    original program. Color noise is each image's own."""
    color_noise: Literal["none", "paper", "original"] = "none"
    """Shift each training image along the principal colors of all (section 4.1): by the paper's
    formula on pixels from 0 to 1, or as the original program did, about twice as far."""
    color_noise_until: float | None = None
    """The epoch after which there is no more of it."""
    save_steps: int | None = None
    """Keep a checkpoint every so many steps, besides each epoch."""
    bad_images: int = 0
    """Training pictures that cannot be decoded, up to so many, are named and skipped: the next one
    in the data takes the place. One more stops the run."""
    threads: int = 2
    """Threads that decode images."""
    prefetch: int = 4
    """Batches decoded ahead."""

    def __post_init__(self) -> None:
        """Refuse a value that can only be a mistake, by its flag."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            wrong = (
                field.name in _LIMITS and value is not None and not _LIMITS[field.name][0](value)
            )
            if wrong:
                given = " ".join(map(str, value if isinstance(value, tuple) else (value,)))
                raise BadInput(f"{flag(field.name)} must be {_LIMITS[field.name][1]}, not {given}")
        if self.resume and self.run_dir is None:
            raise BadInput("--resume needs --run-dir, the folder of the run to go on with")
        if self.plan_images and not self.plan:
            raise BadInput("--plan-images is for --plan, which trains nothing")
        if self.plan_images and self.data is not None:
            raise BadInput("--plan-images stands for data, and --data names some; leave one out")
        if self.warmup_epochs and self.base_batch is None:
            raise BadInput("--warmup-epochs needs --base-batch, at whose rate it begins")
        by_hand = (self.coordinator, self.processes, self.process_id)
        if None in by_hand and any(value is not None for value in by_hand):
            raise BadInput("--coordinator, --processes and --process-id belong together")
        if self.processes and not 0 <= (self.process_id or 0) < self.processes:
            raise BadInput(
                f"--process-id must be from 0 to {self.processes - 1}, not {self.process_id}"
            )


def flag(name: str) -> str:
    """Return how the command line spells a field of Config."""
    return "--" + name.replace("_", "-")


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


_LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "devices": (lambda n: n > 0, "above 0"),
    "coordinator": (_is_address, "HOST:PORT"),
    "processes": (lambda n: n > 0, "above 0"),
    "plan_images": (
        lambda ns: len(ns) <= 2 and all(n > 0 for n in ns[:1]) and all(n >= 0 for n in ns),
        "one number above 0, or two",
    ),
    "plan_classes": (lambda n: n > 1, "above 1"),
    "seed": (lambda n: 0 <= n < 2**32, "from 0 to 4294967295"),
    "held_out": (lambda x: 0 < x < 1, "above 0 and below 1"),
    "epochs": (lambda x: 0 < x < 1e6, "above 0 and below a million"),
    "steps": (lambda n: n > 0, "above 0"),
    "batch_size": (lambda n: n > 0, "above 0"),
    "learning_rate": (lambda x: 0 < x < float("inf"), "a number above 0"),
    "base_batch": (lambda n: n > 0, "above 0"),
    "warmup_epochs": (lambda x: 0 <= x < float("inf"), "at least 0"),
    "cut_epochs": (
        lambda xs: all(a < b for a, b in itertools.pairwise((0, *xs, float("inf")))),
        "numbers above 0, each above the one before",
    ),
    "patience": (lambda n: n > 0, "above 0"),
    "bias_rate": (lambda x: 0 <= x < float("inf"), "at least 0"),
    "momentum": (lambda x: 0 <= x < 1, "at least 0 and below 1"),
    "weight_decay": (lambda x: 0 <= x < float("inf"), "at least 0"),
    "stored_size": (lambda n: n > 0, "above 0"),
    "patches_together": (lambda n: n > 0, "above 0"),
    "classes": (lambda n: n > 0, "above 0"),
    "color_noise_until": (lambda x: 0 < x < float("inf"), "above 0"),
    "save_steps": (lambda n: n > 0, "above 0"),
    "bad_images": (lambda n: n >= 0, "at least 0"),
    "threads": (lambda n: n > 0, "above 0"),
    "prefetch": (lambda n: n > 0, "above 0"),
}

OF_THE_COMMAND = {"run_dir", "resume", "plan", "plan_images", "plan_classes"}
OF_THE_COMMAND |= {"coordinator", "processes", "process_id"}
"""What a run folder does not remember."""


def save(config: Config, record: dict[str, Any]) -> None:
    """Write config.json into the run folder: the configuration, and `record` beside it."""
    assert config.run_dir is not None
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in OF_THE_COMMAND}
    values["data"] = config.data and config.data.resolve()
    values["init"] = config.init and config.init.resolve()
    text = json.dumps(record | {"config": values}, indent=2, default=str)
    half_written = config.run_dir / "config.tmp.json"
    half_written.write_text(text + "\n")
    half_written.rename(config.run_dir / "config.json")


def load(run_dir: Path) -> Config:
    """Read the configuration that a run folder keeps. Raises BadInput if it holds none."""
    values = read_record(run_dir)["config"]
    try:
        values["cut_epochs"] = tuple(values["cut_epochs"])
        for name in ("data", "init"):
            values[name] = Path(values[name]) if values.get(name) else None
        for field in dataclasses.fields(Config):
            value = values.get(field.name, field.default)
            if not _is_of(value, field.type):
                raise ValueError(f"{field.name} is {value!r}")
        return Config(**values, run_dir=run_dir)
    except (KeyError, TypeError, ValueError) as error:
        path = run_dir / "config.json"
        raise BadInput(f"{path} is damaged, or of another version: {error}") from None


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value that was read is of the type that a field of Config declares."""
    arguments = typing.get_args(kind)
    match typing.get_origin(kind) or kind:
        case typing.Literal:
            return value in arguments
        case types.UnionType:
            return any(_is_of(value, argument) for argument in arguments)
        case builtins.tuple:
            return all(_is_of(part, arguments[0]) for part in value)
        case builtins.float:
            return type(value) in (int, float)
        case builtins.int:
            return type(value) is int
        case other:
            return isinstance(value, other)


def read_record(run_dir: Path) -> dict[str, Any]:
    """Read all of a run folder's config.json. Raises BadInput if it is missing or broken."""
    path = run_dir / "config.json"
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{run_dir} holds no run (no config.json in it)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    match record:
        case {"config": {}, "data": {"class_names": [str(), *_] as names}}:
            if all(isinstance(name, str) for name in names):
                return record
    raise BadInput(f"{path} is not a run's configuration")
