"""Python of a user's own: networks by FILE.py:NAME or module:NAME, layer types by module:Class.

A network is loaded because its user names the file, and the file is run. A layer type is looked up
because a file of weights names it, which may come from a stranger: so a module is imported only if
its text defines a class of that name.
"""

import ast
import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import by_name
from alexnet_jax.layer_type import LayerSpec
from alexnet_jax.regular_file import read_regular

_PREFIX = "alexnet_jax_net_"
"""Before the name of a file whose own name is that of another module."""
_SOURCE = "__alexnet_jax_source__"
"""The text of a file that was run, in its module: in a notebook the file may change."""


def find_architecture(text: str) -> Architecture:
    """Return the library's network of that name or, for FILE.py:NAME or module:NAME, the user's.

    NAME is an `Architecture`, or a function without arguments that returns one. The file is run.

    Raises:
      ValueError: a network that there is not, a file that cannot be run, or another kind of object;
        one sentence with the file and, where it is known, the line.
    """
    return _load_own(text) if is_own(text) else by_name(text)


def is_own(text: str) -> bool:
    """Return whether a text says where the user's own network is; no name of the library does."""
    return ":" in text or text.endswith(".py")


def _load_own(text: str) -> Architecture:
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        place = place or text.rstrip(":")
        raise ValueError(f"{text} should name a network in the file, as {place}:NAME")
    with _searching(Path.cwd()):
        module = _run_file(place) if place.endswith(".py") else _import(place)
        if not hasattr(module, name):
            nets = [key for key, x in vars(module).items() if isinstance(x, Architecture)]
            listed = f"its networks are {', '.join(nets)}" if nets else "nor any network"
            raise ValueError(f"{place} has no {name}, {listed}")
        value = getattr(module, name)
        if callable(value) and not isinstance(value, type):
            with one_sentence(f"{place}, {name}()"):
                value = value()
            name += "()"
    if not isinstance(value, Architecture):
        kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise ValueError(
            f"{place}: {name} is no Architecture, nor a function that returns one, but {kind}"
        )
    return value


def _import(name: str) -> types.ModuleType:
    if name not in sys.modules and _find_source(name) is None:
        raise ValueError(f"there is no module {name} in {Path.cwd()} or on Python's path")
    with one_sentence(name):
        return importlib.import_module(name)


def _run_file(text: str) -> types.ModuleType:
    """Run a file as a module. A second call returns the same one, until the file changes."""
    path = Path(text).expanduser().resolve()
    try:
        source = read_regular(path)
    except OSError as error:
        raise ValueError(f"{text} cannot be read: {error.strerror}") from None
    loaded = _loaded_from(path)
    if loaded is not None and vars(loaded).get(_SOURCE, source) == source:
        return loaded
    module = types.ModuleType(loaded.__name__ if loaded else _module_name(path))
    vars(module).update({"__file__": str(path), _SOURCE: source})
    sys.modules[module.__name__] = module  # dataclasses look themselves up
    try:
        with one_sentence(text), _searching(path.parent):
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def _loaded_from(path: Path) -> types.ModuleType | None:
    """Return the module that was loaded from a file, unless it is the program itself."""
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None) or ""
        named_alike = name != "__main__" and os.path.basename(file) == path.name
        if named_alike and os.path.realpath(file) == str(path):
            return module
    return None


def _module_name(path: Path) -> str:
    """Return the name by which the file can be imported, or another if that is taken."""
    taken = path.stem in sys.modules or not path.stem.isidentifier()
    if not taken and (spec := importlib.util.find_spec(path.stem)):
        taken = spec.origin is None or Path(spec.origin).resolve() != path
    return f"{_PREFIX}{path.stem}" if taken else path.stem


@contextlib.contextmanager
def _searching(folder: Path) -> Iterator[None]:
    """Let imports search a folder last, unless they search it already."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextlib.contextmanager
def one_sentence(place: str, *, ours: str = "") -> Iterator[None]:
    """Turn any exception of a user's code into a ValueError with its file and line.

    Args:
      place: stands for them where they are not known.
      ours: a folder whose code is not the user's, beside the library, Python and its packages.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() included
        message = next(iter(str(error).strip().splitlines()), "")
        if isinstance(error, SyntaxError):
            where = f"{error.filename}, line {error.lineno}" if error.filename else place
            message = error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            others = (*_others(), ours) if ours else _others()
            own = [frame for frame in frames if not frame.filename.startswith(others)]
            where = f"{own[-1].filename}, line {own[-1].lineno}" if own else place
        if type(error) is not ValueError:
            message = f"{type(error).__name__}: {message}".removesuffix(": ")
        raise ValueError(f"{where}: {message}") from error


@functools.cache
def _others() -> tuple[str, ...]:
    """Return how the names of files begin that are no user's: of Python, its packages, and ours."""
    schemes = map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))
    folders = (*schemes, Path(__file__).parent)
    # "<" is of the interpreter itself.
    return ("<", *(f"{Path(folder).resolve()}{os.sep}" for folder in folders))


def class_name(kind: type[LayerSpec]) -> str:
    """Return module:Class for a layer type, by which `find_class` finds it.

    Raises:
      ValueError: a class inside a function or another class, or in a file whose name is taken.
    """
    name = f"{kind.__module__}:{kind.__qualname__}"
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        raise ValueError(f"the layer type {name} must be a class at the top of a module")
    if kind.__module__.startswith(_PREFIX):
        stem = kind.__module__.removeprefix(_PREFIX)
        raise ValueError(
            f"the layer type {kind.__qualname__} is in {stem}.py, and Python imports another "
            f"module by the name {stem}: rename the file"
        )
    return name


def find_class(name: str) -> type[LayerSpec]:
    """Return the layer type module:Class; import its module if its text defines that class.

    Raises:
      ValueError: a class that cannot be found.
    """
    module_name, _, attribute = name.partition(":")
    with _searching(Path.cwd()):
        if module_name not in sys.modules:
            _check_source(name, module_name, attribute)
            with one_sentence(module_name):
                importlib.import_module(module_name)
    kind = getattr(sys.modules[module_name], attribute, None)
    if not isinstance(kind, type) or not issubclass(kind, LayerSpec):
        hint = f"{attribute} is no LayerSpec"
        if module_name == "__main__":
            hint = "a notebook or a script defined it, and has to again, or a module instead"
        raise ValueError(f"its layer type {name} is not there: {hint}")
    return kind


def _check_source(name: str, module_name: str, attribute: str) -> None:
    """Raise ValueError unless there is such a module, not imported yet, with such a class."""
    path = _find_source(module_name)
    if path is None:
        raise ValueError(
            f"its layer type {name} cannot be imported: there is no module {module_name} in "
            f"{Path.cwd()} or on Python's path"
        )
    with one_sentence(str(path)):
        tree = ast.parse(path.read_bytes())
    if not any(isinstance(node, ast.ClassDef) and node.name == attribute for node in tree.body):
        raise ValueError(f"its layer type {name} is not there: {path} defines no class {attribute}")


def _find_source(module_name: str) -> Path | None:
    """Return the file of a module without importing it or its packages; None if there is none."""
    top, *rest = module_name.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        return None
    try:
        spec = importlib.util.find_spec(top)  # of a top module, this runs nothing
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        origin = spec.origin or ""
        return Path(origin).resolve() if origin.endswith(".py") else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for package in rest[:-1]:
        folders = [folder / package for folder in folders]
    files = (f"{rest[-1]}/__init__.py", f"{rest[-1]}.py")
    paths = (folder / file for folder in folders for file in files)
    return next((path.resolve() for path in paths if path.is_file()), None)
