"""Builds the wheel, in which the folder `train` is the package `alexnet_jax_train`.

In a clone one runs `python -m train.main`; installed, that name would clash with anyone's `train`.
So the copy in the wheel has its imports renamed, and the commands in its help.
"""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

INSTALLED_AS = "alexnet_jax_train"
NAMES = re.compile(r"^(\s*(?:from|import) )train\b|(`python -m )train\b", re.MULTILINE)


class BuildRenamed(build_py):
    """Copies modules as setuptools does, and renames `train` in its own."""

    def build_module(self, module, module_file, package):
        """Copy one module. Returns what setuptools' own method does."""
        copied = super().build_module(module, module_file, package)
        name = package if isinstance(package, str) else ".".join(package)
        if name.split(".")[0] == INSTALLED_AS:
            copy = Path(copied[0])
            text = copy.read_text(encoding="utf-8")
            copy.write_text(NAMES.sub(rf"\1\2{INSTALLED_AS}", text), encoding="utf-8")
        return copied


setup(cmdclass={"build_py": BuildRenamed})
