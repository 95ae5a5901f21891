"""Eight virtual devices, strict dtypes; pyproject makes warnings errors."""

import os

os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")  # each run compiles for itself

from train import platform

platform.prepare(8)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def rng():
    """Return a generator of random numbers that is the same in every test."""
    return np.random.default_rng(0)
