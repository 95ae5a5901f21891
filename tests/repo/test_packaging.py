"""The package: its page, its extras, its version, and the library by itself."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import alexnet_jax
from tests.repo.test_documentation import resolves

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RELATIVE = re.compile(r"\]\((?!https?:|#)|src=\"(?!https?:)")
LIBRARY_NEEDS = {"jax", "jaxlib", "numpy", "safetensors", "flatbuffers"}


def load_setup():
    spec = importlib.util.spec_from_file_location("setup_of_alexnet_jax", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SETUP = load_setup()


def test_the_links_and_the_picture_of_the_page_are_absolute_and_lead_to_files():
    assert len(RELATIVE.findall(README)) > 10
    page = SETUP.absolute_readme(README, "https://example.org/me/net")
    assert not RELATIVE.search(page)
    paths = re.findall(r"https://example\.org/me/net/(?:blob|raw)/HEAD/([^)\"#]+)", page)
    assert len(paths) == len(RELATIVE.findall(README))
    assert all((ROOT / path).exists() for path in paths)
    urls = SETUP.project_urls("https://example.org/me/net")
    assert urls["Issues"] == "https://example.org/me/net/issues"


def test_without_an_address_the_page_has_no_broken_link_and_says_where_the_pages_are():
    page = SETUP.absolute_readme(README, "")
    assert not RELATIVE.search(page)
    assert "<img" not in page
    assert page.count("are in the source distribution of this package") == 1
    assert SETUP.project_urls("") == {}


def test_the_address_of_the_repository_is_in_one_place():
    address = SETUP.read_repository()
    assert not address or re.fullmatch(r"https://[^/]+/[^/]+/[^/]+", address)
    pages = [ROOT / "README.md", ROOT / "CITATION.cff", *ROOT.glob("docs/*.md")]
    assert not [page for page in pages if "github.com/OWNER" in page.read_text()]


def names(requirements):
    return {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}


def test_the_extra_all_has_what_the_library_and_the_commands_may_use():
    extras = PROJECT["optional-dependencies"]
    assert extras["all"] == ["alexnet_jax[fast,matlab,onnx]"]
    optional = [*extras["fast"], *extras["matlab"], *extras["onnx"]]
    assert names(optional) == {"simplejpeg", "h5py", "onnx"}
    assert names(optional) <= names(extras["test"])


def test_the_installed_program_exists():
    [(program, place)] = PROJECT["scripts"].items()
    assert program == "alexnet-jax"
    assert resolves(place.replace("alexnet_jax_train", "train").replace(":", "."))


def test_the_version_heads_the_changelog():
    [newest, *_] = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest == alexnet_jax.__version__


LIBRARY_ALONE = """
import pathlib, sys
for name in {blocked!r}:
    sys.modules[name] = None  # an import of it raises ModuleNotFoundError
import jax, numpy
import alexnet_jax
from alexnet_jax.__main__ import main
net = alexnet_jax.architectures.DIGITS
params = alexnet_jax.init(jax.random.key(0), net)
logits = alexnet_jax.apply(params, jax.numpy.ones((1, 24, 24, 3)), architecture=net)
preprocessing = alexnet_jax.Preprocessing(stored_size=28, input_size=24, mean=[0, 0, 0])
alexnet_jax.save("net", params, net, preprocessing)
again, *_ = alexnet_jax.load("net")
assert (again["fc8"].weights == params["fc8"].weights).all()
alexnet_jax.export("net.stablehlo", params, net, preprocessing)
assert main(["DIGITS"]) == 0
try:
    import alexnet_jax.flax_modules
except ModuleNotFoundError as error:
    print(error, file=sys.stderr)
for arguments in (["DIGITS", "--diagram", "net.png"], ["convert", {run!r}, "x.safetensors"],
                  ["export", "net", "net.onnx"]):
    assert main(arguments) == 2
from train.runtime.cli import run_command
from train import main as train
sys.argv[1:] = ["--steps", "1"]
run_command(train.main)
"""


def test_the_library_alone_needs_jax_numpy_and_safetensors(tmp_path):
    run = ROOT / "tests/support/made_at_a1eac61/run"
    modules = {"absl-py": "absl", "orbax-checkpoint": "orbax", "pillow": "PIL"}
    others = names(PROJECT["dependencies"]) - LIBRARY_NEEDS
    blocked = [modules.get(name, name) for name in others] + ["onnx", "h5py"]
    code = LIBRARY_ALONE.format(blocked=blocked, run=str(run))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines() == [
        "alexnet_jax.flax_modules needs the package flax: pip install flax",
        "error: a drawing needs the package matplotlib: pip install matplotlib",
        f"error: {run}: it needs the package orbax: pip install orbax-checkpoint",
        "error: .onnx needs the package onnx: pip install onnx",
        "error: this command needs the package absl; pip install alexnet_jax installs all that "
        "commands need",
    ]
    assert done.returncode == 2
