"""All processes of a run must be started with the same flags, code and data."""

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

import alexnet_jax

from ..config.config import Config
from ..config.errors import BadInput, flag, list_some
from ..config.network import net_to_json
from ..data.examples import DataSet, Source
from ..run_dir.folder import LIBRARIES

_MAY_DIFFER = {"process_id", "coordinator", "data", "threads", "prefetch"}
"""Flags that are each machine's own: the data may be at another path there."""

_DIGEST_BYTES = 8


def refuse_other_flags_or_code(config: Config) -> None:
    """Raise BadInput, in all processes, if they were started with different flags or code."""
    if jax.process_count() == 1:
        return
    code = {"the code of this package": _code()}
    code |= {f"the version of {name}": importlib.metadata.version(name) for name in LIBRARIES}
    _refuse_differences(code)  # first: other code may have other flags
    values = config.values() | {"net": net_to_json(config.recipe.net)}
    # `--precision default` follows this setting of JAX's, so a program depends on it.
    setting = {"JAX_DEFAULT_MATMUL_PRECISION": jax.config.jax_default_matmul_precision}
    flags = {flag(name): x for name, x in values.items() if name not in _MAY_DIFFER}
    _refuse_differences(flags | setting)


def refuse_other_data(data: DataSet) -> None:
    """Raise BadInput, in all processes, if their data differ: in classes, number or samples."""
    if jax.process_count() > 1:
        parts = {"training": data.train, "validation": data.val, "test": data.test}
        images = {f"the {name} images": [*_samples(part)] for name, part in parts.items()}
        _refuse_differences({"the classes of the data": data.class_names} | images)


def _refuse_differences(values: Mapping[str, object]) -> None:
    own = [
        hashlib.sha256(repr(value).encode()).digest()[:_DIGEST_BYTES] for value in values.values()
    ]
    digests = process_allgather(np.frombuffer(b"".join(own), np.uint8))
    digests = np.reshape(digests, (jax.process_count(), len(own), _DIGEST_BYTES))
    different = (digests != digests[0]).any(axis=(0, 2))
    if different.any():
        names = [name for name, differs in zip(values, different, strict=True) if differs]
        raise BadInput(
            f"the processes of the run differ in {list_some(names)}; start all of them with the "
            "same command, code and data"
        )


def _code() -> str:
    """Return a digest of the files of the library and of this package."""
    digest = hashlib.sha256()
    for package in (alexnet_jax.__file__, Path(__file__).parent):
        for path in sorted(Path(package).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _samples(source: Source | None) -> Iterator[object]:
    """Yield the number of images, and the first, middle and last image with its label."""
    count = len(source) if source is not None else 0
    yield count
    for index in sorted({0, count // 2, count - 1} if count else ()):
        assert source is not None
        example = source[index]
        yield example["label"], hashlib.sha256(example["image"].tobytes()).hexdigest()
