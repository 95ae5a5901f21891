"""Settings of the documentation site: `sphinx-build docs build/site`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import jax  # noqa: E402  it reads JAX_PLATFORMS
import optax  # noqa: E402

# Types say the private module that they are defined in; their references are under the public one.
jax.sharding.Mesh.__module__ = "jax.sharding"
optax.GradientTransformationExtraArgs.__module__ = "optax"

project = "alexnet_jax"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_codeautolink",
    "sphinx_copybutton",
    "sphinx_design",
    "pages",
]
default_role = "py:obj"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False

# Without a network, the names in docs/inventories are linked, and no warning is given.
intersphinx_mapping = {
    name: (url, (None, f"inventories/{name}.inv"))
    for name, url in {
        "jax": "https://docs.jax.dev/en/latest/",
        "optax": "https://optax.readthedocs.io/en/latest/",
        "flax": "https://flax.readthedocs.io/en/stable/",
        "numpy": "https://numpy.org/doc/stable/",
        "python": "https://docs.python.org/3/",
    }.items()
}
intersphinx_timeout = 5

page_run = ""  # a run whose network draws on docs/page.md: sphinx-build -D page_run=runs/NAME

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
