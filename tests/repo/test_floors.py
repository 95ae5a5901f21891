"""Imports point down only, the library needs jax and numpy alone, and public code is typed."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = [  # a module imports its own room and the rooms above it in this list
    "alexnet_jax.printable alexnet_jax.regular_file alexnet_jax.suggestion",
    "alexnet_jax.layer_fields",
    "alexnet_jax.layer_type",
    "alexnet_jax.layer_windows",
    "alexnet_jax.layer_specs",
    "alexnet_jax.layer_info",
    "alexnet_jax.architecture",
    "alexnet_jax.dense_layers",
    "alexnet_jax.architectures",
    "alexnet_jax.user_code",
    "alexnet_jax.params",
    "alexnet_jax.mesh",
    "alexnet_jax.ops",
    "alexnet_jax.shardings",
    "alexnet_jax.towers",
    "alexnet_jax.forward",
    "alexnet_jax.selection",
    "alexnet_jax.image_resize",
    "alexnet_jax.model alexnet_jax.evaluation alexnet_jax.preprocessing",
    "alexnet_jax.visualize",
    "alexnet_jax.weights.files",
    "alexnet_jax.weights.loaded alexnet_jax.weights.spec_json alexnet_jax.weights.known_files"
    " alexnet_jax.weights.imagenet",
    "alexnet_jax.weights.matching",
    "alexnet_jax.weights.readers",
    "alexnet_jax.weights",
    "alexnet_jax.exports alexnet_jax.perceptual",
    "alexnet_jax.page",
    "alexnet_jax",
    "train.config",
    "train.runtime",
    "train.data.examples",
    "train.data.image_statistics",
    "train.data.formats",
    "train.data",
    "train.data.preparation train.data.download",
    "train.steps",
    "train.run_dir",
    "train.inference",
    "train.figures",
    "train.trainer",
    "train.dry_run",
    "train.findings",
    "train",
]
NEEDS = {  # of single modules, beside jax and numpy; imported at the first use
    "alexnet_jax.visualize.canvas": {"matplotlib"},
    "alexnet_jax.visualize.diagram": {"matplotlib"},
    "alexnet_jax.visualize.diagram_labels": {"matplotlib"},
    "alexnet_jax.visualize.matplotlib_import": {"matplotlib"},
    "alexnet_jax.exports.onnx_model": {"numpy", "onnx"},
    "alexnet_jax.weights.files.matlab": {"h5py", "numpy"},
    "alexnet_jax.weights.readers.run_folder": {"jax", "numpy", "orbax"},
    "alexnet_jax.weights.files.safetensors_file": {"numpy", "safetensors"},
    "alexnet_jax.flax_modules": {"flax", "jax"},
}
FLOOR = {room: i for i, row in enumerate(FLOORS) for room in row.split()}
FILES = sorted(path for name in ("alexnet_jax", "train") for path in (ROOT / name).rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def room_name(module):
    """Return the module, or the nearest package around it, that FLOORS lists."""
    while module not in FLOOR:
        module = module.rpartition(".")[0]
    return module


def imports(path):
    """Yield the full names of the modules that a file imports, at its top or later."""
    package = (*path.relative_to(ROOT).parts[:-1],)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                full_name = f"{module}.{alias.name}"
                yield full_name if full_name in MODULES else module


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    module = module_name(path)
    for name in imports(path):
        package = name.split(".")[0]
        if package in ("alexnet_jax", "train"):
            room, other = room_name(module), room_name(name)
            assert room == other or FLOOR[other] < FLOOR[room], f"{module} imports {name}"
        elif module.startswith("alexnet_jax"):
            allowed = NEEDS.get(module, {"jax", "numpy"})
            assert package in allowed | sys.stdlib_module_names


def test_imports_have_no_cycle():
    ours = {module: {*imports(path)} & MODULES.keys() for module, path in MODULES.items()}
    for module, names in ours.items():
        ours[module] = names - {module}
    graphlib.TopologicalSorter(ours).prepare()


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_train_imports_itself_by_relative_names_so_that_a_wheel_can_rename_it(path):
    if module_name(path).startswith("train"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module
                assert node.module.split(".")[0] != "train"
            elif isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "train" for alias in node.names)


def test_no_module_has_the_name_of_a_standard_module_or_of_a_package_that_it_imports():
    for module, path in MODULES.items():
        name = module.rpartition(".")[2]
        assert name not in sys.stdlib_module_names, module
        assert name not in {one.split(".")[0] for one in imports(path)} - {"alexnet_jax", "train"}


def test_importing_the_library_starts_no_backend_and_needs_jax_and_numpy_alone():
    code = (
        "import alexnet_jax.__main__, jax, sys; "
        "late = {'flax', 'matplotlib', 'onnx', 'orbax', 'safetensors', 'scipy.io'}; "
        "assert not late & sys.modules.keys(), late & sys.modules.keys(); "
        "assert not jax._src.xla_bridge.backends_are_initialized()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=module_name)
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
