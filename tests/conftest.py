"""Eight virtual devices, strict dtypes; pyproject makes warnings errors."""

import os
import resource
import signal
import tempfile

from train.runtime import backend

backend.set_up_devices(8)

import jax  # noqa: E402 - set_up_devices must run before JAX is imported, also by the imports below
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.support.photographs import SHOWN, SYNSETS, write_ilsvrc  # noqa: E402
from tests.support.prepared import options  # noqa: E402
from train.data.preparation.prepare import prepare  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
# A shell script that runs the tests in the background has them ignore SIGINT, and what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _compile_each_program_once(tmp_path_factory):
    """Cache compiled programs, and compile in two thirds of the time: most of the suite's is XLA's.

    Each worker of pytest has its own folder, because JAX does not write entries atomically.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_disable_most_optimizations": True,  # LLVM's: the programs, as XLA writes them, stay
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for the processes that tests start


@pytest.fixture
def rng():
    """Return a random generator with the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture
def bounded(tmp_path, monkeypatch):
    """Check that a test grows the memory of the process by less than 400 MB."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1024 * 400  # kilobytes


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small ILSVRC: 24 training and 5 validation pictures, and the list of validation labels."""
    root = tmp_path_factory.mktemp("source")
    write_ilsvrc(root)
    (root / "val.txt").write_text("\n".join(SYNSETS[label] for label in SHOWN))
    return root


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """The shards of `tree`, written by one process."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare(options(tree, out))
    return out
