"""README and docs: their Python runs, and what they name exists."""

import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
README = "README.md"
PATHS = (ROOT / README, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/course/*.md")))
TEXT = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
# A comment above a block says why it is not run.
BLOCK = re.compile(r"(<!-- not run: (?P<why>.+?) -->\n+)?```python\n(?P<code>.*?)```", re.S)
BLOCKS = {page: list(BLOCK.finditer(text)) for page, text in TEXT.items()}
PAGES = [page for page, blocks in BLOCKS.items() if not all(block["why"] for block in blocks)]
# These set the number of devices, in a process of their own.
OWN_PROCESS = [page for page in PAGES if "jax_num_cpu_devices" in TEXT[page]]
# test_course runs these, and looks at their pictures.
COURSE = [page for page in PAGES if page.startswith("docs/course/")]
SET_UP = {  # the files that a page's commands make or that a reader has
    "docs/probing.md": """
import alexnet_jax, numpy
from tests.support.tiny import TINY, draw_params
preprocessing = alexnet_jax.Preprocessing(stored_size=14, input_size=14, mean=[120, 110, 100])
alexnet_jax.save("torchvision", draw_params(TINY), TINY, preprocessing)
rng = numpy.random.default_rng(0)
labels = numpy.arange(60) % 3
files = [f"{'train' if i < 45 else 'val'}/{i}.jpg" for i in range(60)]
for name in ("trained", "random"):
    relu5 = rng.normal(size=(60, 2, 2, 8)) + labels[:, None, None, None]
    relu7 = rng.normal(size=(60, 16)) + labels[:, None]
    numpy.savez(f"{name}.npz", relu5=relu5, relu7=relu7, labels=labels, files=files)
""",
    "docs/weights.md": """
import alexnet_jax
from PIL import Image
from tests.support.tiny import TINY, draw_params
preprocessing = alexnet_jax.Preprocessing(stored_size=16, input_size=14, mean=[120, 110, 100])
# A file comes before the published weights of the same name.
alexnet_jax.save("torchvision", draw_params(TINY), TINY, preprocessing, [*"abcdefg"])
Image.new("RGB", (30, 20)).save("cat.jpg")
alexnet_jax.export("digits.stablehlo", draw_params(TINY), TINY, preprocessing)
Image.new("RGB", (30, 20)).save("picture.png")
""",
}


def python_of(page):
    """The blocks of a page in their order, each at its line."""
    lines = []
    for block in BLOCKS[page]:
        if not block["why"]:
            lines += [""] * (TEXT[page][: block.start("code")].count("\n") - len(lines))
            lines += block["code"].splitlines()
    return compile("\n".join(lines), str(ROOT / page), "exec")


def run(page, folder):
    """Run the blocks of a page in a folder."""
    with jax.numpy_dtype_promotion("standard"), contextlib.chdir(folder):
        exec(SET_UP.get(page, ""), {})
        exec(python_of(page), {})


@pytest.mark.parametrize("page", sorted(set(PAGES) - set(OWN_PROCESS) - set(COURSE)))
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    run(page, tmp_path)


@pytest.mark.parametrize("page", OWN_PROCESS)
def test_the_python_of_a_page_runs_when_it_is_pasted_into_a_new_process(page, tmp_path):
    # With enough devices in the environment, the setting on the page would not be needed.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    }
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    code = "\n".join(block["code"] for block in BLOCKS[page])
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert page != README or "60,965,224" in process.stdout


def test_readme_fits_a_sitting():
    assert len(TEXT[README].splitlines()) < 130


COMMANDS = re.compile(r"python -m ((?:train|alexnet_jax|benchmarks)[\w.]*)")
DOTTED = re.compile(r"`((?:train|alexnet_jax|benchmarks)(?:\.\w+)+)")
IMPORTED = re.compile(r"from ((?:train|alexnet_jax)[\w.]*) import (\w+)")
FILE = re.compile(r"`((?:train|alexnet_jax|benchmarks|tests|docs|notebooks|\.ci)/[\w./]*)")
TEST = re.compile(r"\b(test_\w+(?:\.py)?)")
DATA_FOLDERS = {"train/CLASS/", "train/n01440764/"}
METRICS = {"test_loss", "test_top1_error", "test_top5_error"}


def resolves(name):
    """Whether a dotted name is a module, or an attribute of one, or of a class in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        with contextlib.suppress(ModuleNotFoundError):
            value = importlib.import_module(module)
            break
    else:
        return False
    for part in parts[count:]:
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


@pytest.mark.parametrize("page", TEXT)
def test_every_module_function_and_file_that_a_page_names_exists(page):
    text = TEXT[page]
    names = {*COMMANDS.findall(text), *DOTTED.findall(text)}
    names |= {f"{module}.{name}" for module, name in IMPORTED.findall(text)}
    wrong = {name for name in names if not resolves(name)}
    wrong |= {name for name in FILE.findall(text) if not (ROOT / name).exists()}
    assert not wrong - DATA_FOLDERS


@pytest.mark.parametrize("page", TEXT)
def test_every_link_of_a_page_leads_to_a_file(page):
    links = re.findall(r"(?:\]\(|src=\")(?!https?:|#)([^)\"#]+)", TEXT[page])
    paths = {(ROOT / page).parent.joinpath(link) for link in links}
    generated = ROOT / "docs/generated"  # by docs/pages.py
    assert not {path for path in paths if not path.exists() and path.parent != generated}


def test_every_test_that_a_page_names_exists():
    paths = [*ROOT.glob("tests/**/*.py")]
    functions = re.findall(r"def (test_\w+)", "\n".join(path.read_text() for path in paths))
    existing = {*functions, *(name for path in paths for name in (path.name, path.stem))}
    assert not {name for text in TEXT.values() for name in TEST.findall(text)} - existing - METRICS


def test_the_page_of_the_tests_has_each_that_the_page_of_the_paper_names():
    modules = re.findall(r"automodule:: (tests[.\w]+)", TEXT["docs/paper_tests.md"])
    sources = [(ROOT / f"{module.replace('.', '/')}.py").read_text() for module in modules]
    named = set(re.findall(r"\btest_\w+", TEXT["docs/paper.md"]))
    assert named <= set(re.findall(r"^def (test_\w+)", "\n".join(sources), re.M))


def install_from_the_notebook(monkeypatch, stderr="", **names):
    """Run the cell that installs, with a pip that does nothing. Returns what it was given."""
    cells = json.loads((ROOT / "notebooks" / "alexnet_colab.ipynb").read_text())["cells"]
    [install] = [text for cell in cells if '"pip"' in (text := "".join(cell["source"]))]
    for name, value in names.items():
        install, count = re.subn(f"^{name} = .*", f"{name} = {value!r}", install, flags=re.M)
        assert count == 1
    commands = []

    def run(command, **options):
        commands.append(command)
        return subprocess.CompletedProcess(command, bool(stderr), "", stderr)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("subprocess.run", run)
    exec(install, {})
    [(*_, package)] = commands
    return package


def test_the_notebook_installs_a_clone_a_wheel_or_the_name(tmp_path, monkeypatch):
    folder = tmp_path / "My Drive" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert install_from_the_notebook(monkeypatch) == "alexnet_jax"
    wheel = "alexnet_jax-0.1.0-py3-none-any.whl"
    Path(wheel).touch()
    assert install_from_the_notebook(monkeypatch) == wheel
    elsewhere = str(tmp_path / "My Drive" / wheel)  # one argument of pip's, with its blank
    assert install_from_the_notebook(monkeypatch, WHEEL=elsewhere) == elsewhere
    monkeypatch.chdir(ROOT / "notebooks")
    assert install_from_the_notebook(monkeypatch) == ".."


def test_the_notebook_stops_in_a_sentence_where_nothing_can_be_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stderr = "ERROR: not this line\nERROR: No matching distribution found for alexnet_jax\n[notice]"
    with pytest.raises(Exception, match="put its wheel beside this notebook") as info:
        install_from_the_notebook(monkeypatch, stderr)
    shown = info.value._render_traceback_()  # what Jupyter prints in place of a traceback
    assert shown == [str(info.value)]
    assert "installed: No matching distribution found for alexnet_jax. If PyPI" in shown[0]
