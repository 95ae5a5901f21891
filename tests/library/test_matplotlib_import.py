"""Figures are drawn to files whatever backend a notebook names, and without a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = "module://package_of_a_notebook.backend"
# Without a folder that can be written; root may write anywhere but in /proc.
NO_HOME = {"HOME": "/proc/nobody", "MPLCONFIGDIR": "/proc/nobody"}


def run(*command, **variables):
    run = subprocess.run(
        [sys.executable, *command],
        env=os.environ | NO_HOME | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize(
    ("backend", "expected"), [(NOTEBOOK, "None"), ("nonsense", "None"), ("svg", "svg")]
)
def test_a_backend_is_set_if_it_is_there_and_no_reason_to_fail_if_not(tmp_path, backend, expected):
    code = """if True:
        import os, runpy, sys
        names = runpy.run_path("alexnet_jax/visualize/matplotlib_import.py")
        names["import_matplotlib"]()
        import matplotlib
        from matplotlib.figure import Figure
        figure = Figure()
        figure.text(0.5, 0.5, "text")
        figure.savefig(sys.argv[1])
        print(dict.__getitem__(matplotlib.rcParams, "backend") == sys.argv[2])
        assert os.environ["MPLBACKEND"]
    """
    out = run("-c", code, str(tmp_path / "figure.png"), expected, MPLBACKEND=backend)
    assert out == f"{backend == expected}\n"
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_diagram_is_drawn_from_a_cell_of_a_notebook(tmp_path):
    file = tmp_path / "caffe.png"
    run("-m", "alexnet_jax", "CAFFE", "--diagram", str(file), MPLBACKEND=NOTEBOOK)
    assert file.stat().st_size > 10_000
