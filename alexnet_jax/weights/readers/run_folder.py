"""Folders of runs of `python -m train.main`: the best checkpoint, which Orbax wrote, and its net.

The mean image and the names of classes stand beside the checkpoints, in mean.npy and config.json.
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
from alexnet_jax.model import init
from alexnet_jax.params import BatchStats, Layer, Params, check_params
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files import checksums
from alexnet_jax.weights.loaded import LoadedWeights


def contents(folder: Path, expected: Architecture | None) -> LoadedWeights:
    """Return what a run has learned, at the step with the lowest test error, or the latest.

    Raises ValueError for a folder without a run, a damaged one, or another net than the one
    expected, if one is.
    """
    record = _record(folder / "config.json")
    names = tuple(record["data"]["class_names"])
    net = by_name(record["config"]["net"]).with_classes(len(names))
    if expected and net != expected:
        raise ValueError(f"it holds {net.name}, which differs from {expected.name}")
    mean = np.load(folder / "mean.npy", allow_pickle=False)
    preprocessing = Preprocessing(
        stored_size=len(mean), input_size=net.image_sizes[0], mean=mean, interpolation="cubic"
    )
    return LoadedWeights("train.main's", _params(folder, net), net, preprocessing, names)


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError("it holds no run, for there is no config.json in it") from None
    except (ValueError, RecursionError):
        raise ValueError("its config.json cannot be read") from None
    match record:
        case {"config": {"net": str()}, "data": {"class_names": [str(), *names]}} if all(
            isinstance(name, str) for name in names
        ):
            return record
    raise ValueError("its config.json is not that of a run")


def _params(folder: Path, net: Architecture) -> Params:
    like = jax.eval_shape(lambda: init(jax.random.key(0), net))
    read = _restored(folder, {name: layer._asdict() for name, layer in like.items()})
    kinds = {
        name: BatchStats if isinstance(layer, BatchStats) else Layer for name, layer in like.items()
    }
    params: dict[str, Any] = {
        name: kind(*(jnp.asarray(read[name][field]) for field in kind._fields))
        for name, kind in kinds.items()
    }
    check_params(params, net)
    return params


def _restored(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the best step as numpy arrays, and nothing else of the run's state."""
    import orbax.checkpoint as ocp  # takes long to import

    checkpoints = folder.resolve() / "checkpoints"
    if not checkpoints.is_dir():
        raise ValueError("it holds no checkpoint yet")
    on_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
    # Orbax writes the fields of its dataclass where no type checker sees them.
    state = ocp.args.PyTreeRestore(
        item={"params": wanted},  # pyright: ignore[reportCallIssue]
        restore_args={"params": on_host},  # pyright: ignore[reportCallIssue]
        partial_restore=True,  # pyright: ignore[reportCallIssue]
    )
    with _quiet(), _manager(ocp, checkpoints) as manager:
        step = manager.best_step()
        step = manager.latest_step() if step is None else step
        if step is None:
            raise ValueError("it holds no checkpoint yet")
        if fault := checksums.fault(checkpoints / str(step)):
            raise ValueError(f"checkpoint {step} is damaged: {fault}")
        arguments: Any = ocp.args.Composite(state=state)
        return manager.restore(step, args=arguments)["state"]["params"]


def _manager(ocp: Any, checkpoints: Path) -> Any:
    options = ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics["top1_error"], best_mode="min", read_only=True, create=False
    )
    return ocp.CheckpointManager(checkpoints, options=options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax from warning that a folder which is only read is only read."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
