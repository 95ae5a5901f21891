"""A net as one StableHLO program, which JAX alone can load again, by `jax.export.deserialize`."""

import jax
import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.model import apply
from alexnet_jax.params import Params
from alexnet_jax.preprocessing import Preprocessing

PLATFORMS = ("cpu", "cuda", "tpu")


def program(params: Params, architecture: Architecture, preprocessing: Preprocessing) -> bytes:
    """Return the serialized program from pictures to scores, parameters within.

    Pictures are uint8 [n, stored_size, stored_size, 3], RGB, with any n; scores [n, classes].
    """
    from jax import export

    def scores(pictures: jax.Array) -> jax.Array:
        return apply(params, preprocessing(pictures), architecture=architecture)

    size = preprocessing.stored_size
    pictures = jax.ShapeDtypeStruct((*export.symbolic_shape("n"), size, size, 3), np.uint8)
    exported = export.export(jax.jit(scores), platforms=PLATFORMS)(pictures)
    return bytes(exported.serialize())
