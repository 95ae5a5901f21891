"""Eight virtual devices of the CPU, or `--accelerator`; strict dtypes; warnings are errors."""

import ctypes
import gc
import itertools
import os
import re
import resource
import signal
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.photographs import SHOWN, SYNSETS, write_ilsvrc
from tests.support.prepared import options
from train.data.preparation.prepare import prepare
from train.runtime import backend

NUMERICAL = tuple(Path(__file__).parent / folder for folder in ("library", "train/steps"))
"""The tests that --accelerator runs: the others start commands, or are about files."""

TOO_FEW = re.compile(r"devices were requested, and JAX finds|must be >= the product of mesh_shape")
"""What `alexnet_jax.make_mesh` and `jax.make_mesh` say."""

FINISHED = itertools.count(1)
"""Counts the modules whose tests have run in this process."""

SLOW = (
    "test_resume.py",
    "test_documentation.py",
    "test_gpu_benchmark.py",
    "test_train_step.py",
    "test_distributed.py",
    "test_disk_errors.py",
    "test_fine_tuning.py",
)
"""Files of a minute or more. They begin first: at the end one worker would run on alone."""

jax.config.update("jax_numpy_dtype_promotion", "strict")
# A shell script that runs the tests in the background has them ignore SIGINT, and what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # nohup has them ignore that
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption(
        "--accelerator",
        action="store_true",
        help="run the numerical tests on a GPU or TPU, with products of full float32",
    )


def pytest_configure(config):
    """Start JAX before the test modules are imported."""
    if config.getoption("accelerator"):
        _start_accelerator()
    else:
        jax.config.update("jax_platforms", "cpu")
        backend.set_up_devices(8)
    # For the processes that tests start: a TPU belongs to one process.
    os.environ["JAX_PLATFORMS"] = "cpu"


def _start_accelerator():
    # Each worker of pytest would take three quarters of a GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_default_matmul_precision", "highest")
    backend.set_up_devices(1)
    if jax.default_backend() == "cpu" and jax.config.jax_platforms != "cpu":
        raise pytest.UsageError(
            "--accelerator: JAX finds no GPU or TPU; JAX_PLATFORMS=cpu lets a CPU stand for one"
        )


def pytest_report_header(config):
    return f"devices: {jax.device_count()} x {jax.devices()[0].device_kind}"


def pytest_collection_modifyitems(config, items):
    if config.getoption("accelerator"):
        others = [item for item in items if not any(map(item.path.is_relative_to, NUMERICAL))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    items.sort(key=lambda item: item.path.name not in SLOW)


def pytest_collection_finish():
    """Keep the garbage collector from what was imported: 7 % of the time of tests that compile."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip a test that needs more devices than there are, if they are the accelerator's."""
    try:
        return (yield)
    except ValueError as error:
        if item.config.getoption("accelerator") and TOO_FEW.search(str(error)):
            pytest.skip(f"needs more devices: {error}")
        raise


@pytest.fixture(scope="session", autouse=True)
def _compile_each_program_once(tmp_path_factory, pytestconfig):
    """Cache compiled programs, and compile in two thirds of the time: most of the suite's is XLA's.

    Each worker of pytest has its own folder, because JAX does not write entries atomically.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        # LLVM's: the programs, as XLA writes them, stay. A GPU is to run what users run.
        "jax_disable_most_optimizations": not pytestconfig.getoption("accelerator"),
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # for the processes that tests start


@pytest.fixture(scope="module", autouse=True)
def _free_programs():
    """Give memory back: JAX keeps what it has compiled, some 1.5 GB in each worker of pytest.

    Linux kills a process without a word when the machine has no more. After some modules only,
    because the next one compiles anew what it has in common with those before it.
    """
    yield
    if next(FINISHED) % 15 == 0:
        jax.clear_caches()
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's
            trim(0)


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
