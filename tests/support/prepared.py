"""`train.prepare` on a small ILSVRC, and the contents of its shards."""

import io

import msgpack
import numpy as np
from grain.sources import ArrayRecordDataSource
from PIL import Image

from train.data.preparation.prepare import PrepareOptions


def options(root, out, **changes):
    common = {"labels": root / "val.txt", "size": 16, "shard_size": 7}
    return PrepareOptions(source=root, out=out, **(common | changes))


def records(out, split="train"):
    files = sorted(str(path) for path in out.glob(f"{split}-*"))
    return [msgpack.unpackb(record) for record in ArrayRecordDataSource(files)]


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("[!.]*")}


def picture(record):
    return np.asarray(Image.open(io.BytesIO(record["jpeg"])))
