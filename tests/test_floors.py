"""Imports point down only, the library needs jax and numpy alone, and all is typed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [  # a module imports those above it in this list, within its package
    "alexnet_jax.words",
    "alexnet_jax.architecture",
    "alexnet_jax.architectures.paper alexnet_jax.architectures.original alexnet_jax.winograd"
    " alexnet_jax.architectures.later",
    "alexnet_jax.architectures.notebooks",
    "alexnet_jax.architectures alexnet_jax.layers alexnet_jax.summary",
    "alexnet_jax.towers alexnet_jax.normalization",
    "alexnet_jax.forward",
    "alexnet_jax.model alexnet_jax.evaluation alexnet_jax.preprocessing",
    "alexnet_jax.explanations",
    "alexnet_jax.weights.contents alexnet_jax.weights.described alexnet_jax.weights.safe_tensors"
    " alexnet_jax.weights.pickles alexnet_jax.weights.wire alexnet_jax.weights.published"
    " alexnet_jax.weights.files alexnet_jax.weights.matlab alexnet_jax.weights.numpy_pickles"
    " alexnet_jax.weights.digests",
    "alexnet_jax.weights.own alexnet_jax.weights.pytorch alexnet_jax.weights.torchvision"
    " alexnet_jax.weights.graph alexnet_jax.weights.runs",
    "alexnet_jax.weights.caffe alexnet_jax.weights.cuda_convnet",
    "alexnet_jax.weights.toronto alexnet_jax.weights.onnx alexnet_jax.weights.matconvnet",
    "alexnet_jax.weights",
    "alexnet_jax.exports.stablehlo alexnet_jax.exports.onnx alexnet_jax.exports.torchvision",
    "alexnet_jax.exports",
    "alexnet_jax",
    "alexnet_jax.flax_modules",
    "alexnet_jax.canvas",
    "alexnet_jax.diagram",
    "alexnet_jax.__main__",
    "train",
    "train.config train.augment train.optimizer train.schedules train.signals train.progress",
    "train.experiments train.command train.platform train.metrics train.program"
    " train.lock train.stuck train.figures train.figures.page",
    "train.command_line",
    "train.processes train.agreement",
    "train.data train.data.idx train.data.cifar train.data.pictures train.data.download"
    " train.data.examples train.data.folders train.data.processes",
    "train.data.statistics",
    "train.data.manifest",
    "train.data.ilsvrc train.data.records train.data.journal train.data.published train.data.album",
    "train.data.sources train.data.shards train.data.tolerant train.data.measurement",
    "train.data.pipeline train.data.preparation",
    "train.data.imagined",
    "train.memory",
    "train.step train.error_rates train.run_folder train.difference"
    " train.figures.curves train.figures.predictions",
    "train.checkpoints train.disk",
    "train.trained train.fine_tuning",
    "train.run",
    "train.diverged",
    "train.loop train.ensemble train.report train.trial train.figures.kernels"
    " train.figures.neighbours train.figures.saliency train.figures.classes",
    "train.training train.plan",
    "train.main train.evaluate train.predict train.fetch train.prepare train.figures.__main__",
]
NEEDS = {  # of single modules, beside jax and numpy; imported when they are used
    "alexnet_jax.canvas": {"matplotlib"},
    "alexnet_jax.diagram": {"matplotlib"},
    "alexnet_jax.exports.onnx": {"numpy", "onnx"},
    "alexnet_jax.weights.matlab": {"h5py", "numpy"},
    "alexnet_jax.weights.runs": {"jax", "numpy", "orbax"},
    "alexnet_jax.weights.safe_tensors": {"numpy", "safetensors"},
    "alexnet_jax.flax_modules": {"flax", "jax"},
}
FLOOR = {module: i for i, row in enumerate(FLOORS) for module in row.split()}
FILES = sorted(path for name in ("alexnet_jax", "train") for path in (ROOT / name).rglob("*.py"))


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FLOOR else node.module


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path):
    module = module_of(path)
    for name in imports(path):
        package = name.split(".")[0]
        if package in ("alexnet_jax", "train"):
            assert FLOOR[name] < FLOOR[module], f"{module} imports {name}"
        elif module.startswith("alexnet_jax"):
            allowed = NEEDS.get(module, {"jax", "numpy"})
            assert package in allowed | sys.stdlib_module_names


def test_importing_the_library_starts_no_backend_and_needs_jax_and_numpy_alone():
    code = (
        "import alexnet_jax.__main__, jax, sys; "
        "late = {'flax', 'matplotlib', 'onnx', 'orbax', 'safetensors', 'scipy.io'}; "
        "assert not late & sys.modules.keys(), late & sys.modules.keys(); "
        "assert not jax._src.xla_bridge.backends_are_initialized()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_public_function_is_typed_and_explained(path):
    tree = ast.parse(path.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        arguments = [*node.args.args, *node.args.kwonlyargs]
        untyped = [a.arg for a in arguments if a.annotation is None and a.arg != "self"]
        assert not untyped, f"{node.name}({', '.join(untyped)})"
        assert node.returns is not None, node.name
        assert ast.get_docstring(node), node.name
