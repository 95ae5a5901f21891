"""Run folders of `python -m train.main`: the network of the best checkpoint, which Orbax wrote.

The mean image and the class names are beside the checkpoints, in mean.npy and config.json.
"""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import by_name
from alexnet_jax.image_resize import Resize
from alexnet_jax.model import init
from alexnet_jax.params import BatchStats, Layer, Params, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.regular_file import read_regular
from alexnet_jax.weights.files import npy_file, run_checkpoints
from alexnet_jax.weights.loaded import LoadedWeights, check_expected
from alexnet_jax.weights.spec_json import architecture_from_json

_RESIZES: dict[str, Resize] = {"squash": "both sides", "central-square": "central square"}
"""By their names in config.json, of all but the usual "shorter side"."""


def read_weights(folder: Path, expected: Architecture | None) -> LoadedWeights:
    """Return what a run has learned at its best checkpoint, or the latest if none was evaluated.

    A damaged checkpoint is skipped with a note on stderr.

    Raises:
      ValueError: a folder without a run or without an undamaged checkpoint, or another network
        than the one expected, if one is.
    """
    record = read_run_record(folder)
    names = tuple(record["data"]["class_names"])
    net = record["config"]["net"]
    net = by_name(net) if isinstance(net, str) else architecture_from_json(net)
    net = net.with_classes(len(names))
    check_expected(net, expected)
    mean = npy_file.read(folder / "mean.npy")
    resize = str(record["config"].get("resize", "central-square"))  # of runs that state none
    preprocessing = Preprocessing(
        stored_size=len(mean),
        input_size=net.image_sizes[0],
        mean=mean,
        resize=_RESIZES.get(resize, "shorter side"),
        interpolation="cubic",
    )
    return LoadedWeights("a training run's", _read_params(folder, net), net, preprocessing, names)


def read_run_record(folder: Path) -> dict[str, Any]:
    """Return config.json of a run: its settings in "config", and "data" with "class_names".

    Raises:
      ValueError: a folder without this file, or another file than a run's.
      OSError: a file that cannot be read.
    """
    try:
        record = json.loads(read_regular(folder / "config.json"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError("it holds no run, for there is no config.json in it") from None
    except (ValueError, RecursionError):
        raise ValueError("its config.json cannot be read") from None
    match record:
        case {"config": {"net": str() | dict()}, "data": {"class_names": [str(), *names]}} if all(
            isinstance(name, str) for name in names
        ):
            return record
    raise ValueError("its config.json is not that of a run")


def _read_params(folder: Path, net: Architecture) -> Params:
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), net))
    arrays = _restore(folder, {name: layer._asdict() for name, layer in shapes.items()})
    kinds = {
        name: BatchStats if isinstance(layer, BatchStats) else Layer
        for name, layer in shapes.items()
    }
    params: Params = {
        name: kind(*(jnp.asarray(arrays[name][field]) for field in kind._fields))
        for name, kind in kinds.items()
    }
    check_params(params, net)
    return params


def _restore(folder: Path, shapes: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the best checkpoint as NumPy arrays; the optimizer's state is not read."""
    try:
        import orbax.checkpoint as ocp  # takes long to import
    except ModuleNotFoundError:
        raise ValueError("it needs the package orbax: pip install orbax-checkpoint") from None
    checkpoints = folder.resolve() / "checkpoints"
    if not run_checkpoints.list_steps(checkpoints):
        raise ValueError("it holds no checkpoint yet")
    step = run_checkpoints.choose_step(checkpoints)
    if step is None:
        raise ValueError("it holds no undamaged checkpoint")
    on_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    # Orbax writes the fields of its dataclass where no type checker sees them.
    state = ocp.args.PyTreeRestore(
        item={"params": shapes},  # pyright: ignore[reportCallIssue] - as above
        restore_args={"params": on_host},  # pyright: ignore[reportCallIssue] - as above
        partial_restore=True,  # pyright: ignore[reportCallIssue] - as above
    )
    folder = checkpoints / str(step) / "state"
    with _quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        # Orbax takes the memory that the checkpoint claims, whatever its files hold.
        _check_shapes(checkpointer.metadata(folder).item_metadata.tree["params"], shapes)
        return checkpointer.restore(folder, args=state)["params"]


def _check_shapes(stored: dict[str, Any], shapes: dict[str, Any]) -> None:
    for name, fields in shapes.items():
        for field, expected in fields.items():
            shape = stored.get(name, {}).get(field)
            if shape is None or tuple(shape.shape) != tuple(expected.shape):
                have = "missing" if shape is None else list(shape.shape)
                raise ValueError(f"its {name}.{field} is {have}, not {list(expected.shape)}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's warnings about a checkpoint that is only read from the terminal."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
