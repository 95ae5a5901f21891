"""The name and the label of every record, in `labels.json` beside the shards.

A run that takes a share of the training images for validation chooses it by these. Without the
file it must read all records.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...config.errors import BadInput
from ..examples import LabeledName

NAME = "labels.json"


def write_labels(directory: Path, labels: Mapping[str, Sequence[LabeledName]]) -> str:
    """Write the names and labels of each split, in the order of the records.

    The file is written whole or not at all. Returns its SHA-256, for the manifest.
    """
    from alexnet_jax.weights.files.atomic import write_atomically  # JAX; workers do without

    # In ASCII: bytes of a name that are no UTF-8 are escapes, too, and come back as they were.
    data = json.dumps(labels, separators=(",", ":")).encode()
    write_atomically(directory / NAME, data)
    return hashlib.sha256(data).hexdigest()


def read_labels(directory: Path, digest: str, split: str) -> list[LabeledName]:
    """Return the name and the label of each record of a split.

    Raises BadInput if the file is missing, or has another SHA-256 than `digest`.
    """
    path = directory / NAME
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            return [_check(*row) for row in json.loads(data)[split]]
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; train.prepare writes it again") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise BadInput(
        f"{path} is damaged: its SHA-256 is not the manifest's; train.prepare writes it again"
    )


def _check(name: Any, label: Any) -> LabeledName:
    if not isinstance(name, str) or type(label) is not int:
        raise ValueError(f"{name!r} and {label!r} are not the name and the label of a record")
    return name, label
