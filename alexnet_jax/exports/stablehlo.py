"""A network as one StableHLO program, which `jax.export.deserialize` loads without this library."""

import jax
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.model import apply
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing

PLATFORMS = ("cpu", "cuda", "tpu")


def serialize(params: Params, architecture: Architecture, preprocessing: Preprocessing) -> bytes:
    """Return the serialized program from pictures to logits; the parameters are in it.

    Pictures are uint8 [n, stored_size, stored_size, 3], RGB, for any n; logits are [n, classes].
    """
    from jax import export

    def logits(pictures: jax.Array) -> jax.Array:
        return apply(params, preprocessing(pictures), architecture=architecture)

    size = preprocessing.stored_size
    pictures = jax.ShapeDtypeStruct((*export.symbolic_shape("n"), size, size, 3), np.uint8)
    exported = export.export(jax.jit(logits), platforms=PLATFORMS)(pictures)
    return bytes(exported.serialize())
