"""Eight virtual devices, strict dtypes; pyproject makes warnings errors."""

import os
import resource
import tempfile

from train.runtime import backend

backend.set_up_devices(8)

import jax  # noqa: E402 - the devices must be prepared before it, here and below
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.support.photographs import SHOWN, SYNSETS, write_ilsvrc  # noqa: E402
from tests.support.prepared import options  # noqa: E402
from train.data.preparation.prepare import prepare  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session", autouse=True)
def _each_program_is_compiled_once(tmp_path_factory):
    """Half of the suite's time was XLA's, over and over for runs of the same small net.

    The folder is this worker's own: JAX does not write its entries atomically.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for the processes that tests start


@pytest.fixture
def rng():
    """Return a generator of random numbers that is the same in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def bounded(tmp_path, monkeypatch):
    """The memory of the process may grow by 400 MB in a test, whatever it reads."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1024 * 400  # kilobytes


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """ILSVRC in small, 24 training and 5 validation pictures, with a list of the latter."""
    root = tmp_path_factory.mktemp("source")
    write_ilsvrc(root)
    (root / "val.txt").write_text("\n".join(SYNSETS[label] for label in SHOWN))
    return root


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """Its shards, made by one process."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare(options(tree, out))
    return out
