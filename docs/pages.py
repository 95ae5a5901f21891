"""What Sphinx does not do by itself: the pages of the networks, and links from names in prose."""

import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.domains.python import PythonDomain
from sphinx.errors import ConfigError
from sphinx.transforms.post_transforms import SphinxPostTransform

from alexnet_jax import architectures, page, summary, visualize, weights

NETWORKS = """\
# Tables and diagrams

Descriptions and sources are on the page [networks](../nets.md).
"""
NETWORK = """
## {name}

```{{py:data}} alexnet_jax.architectures.{name}
```

```text
{table}
```

![{name}]({name}.svg)
"""
LONG_NAMES = nodes.literal | addnodes.desc_name
SIGN_OR_CODE = re.compile(r"`[^`]*`|[*|]")


def write_networks(app: Sphinx) -> None:
    """Write docs/generated/architectures.md: every network with its table and its diagram."""
    folder = Path(app.srcdir, "generated")
    folder.mkdir(exist_ok=True)
    page = NETWORKS
    for net in architectures.NETS:
        visualize.draw(net, folder / f"{net.name}.svg")
        page += NETWORK.format(name=net.name, table=summary(net))
    (folder / "architectures.md").write_text(page)


def offer_drawing(app: Sphinx, config: Config) -> None:
    """Let docs/page.md link to a page to draw on, if there is a run for it."""
    if config.page_run:
        app.tags.add("drawing_page")


def write_drawing(app: Sphinx, exception: Exception | None) -> None:
    """Write that page, draw/ in the site, for the network of the run `page_run`."""
    if exception or not app.config.page_run or app.builder.format != "html":
        return
    folder = Path(app.outdir, "draw")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run = weights.read(app.config.page_run)
        parts = (run.params, run.architecture, run.preprocessing, run.class_names)
        page.write_page(folder, *parts)
    except (OSError, ValueError) as error:
        raise ConfigError(f"page_run: {error}") from None


def to_rst(
    app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]
) -> None:
    """Mark for Sphinx what readers of a docstring see: indented formulas, and * and | in prose."""
    outside = None  # the indentation of the line above a formula
    for i, line in enumerate(lines):
        if outside is not None and (not line.strip() or indentation(line) > outside):
            continue
        outside = None
        lines[i] = SIGN_OR_CODE.sub(lambda found: "\\" * (found[0] in "*|") + found[0], line)
        blank, below = [*lines[i + 1 : i + 3], "", ""][:2]
        if line.strip() and not blank.strip() and indentation(below) > indentation(line):
            outside = indentation(line)
            lines[i] += ":" if line.endswith(":") else " ::"


def indentation(line: str) -> int:
    """Count the blanks before a line."""
    return len(line) - len(line.lstrip())


def is_skipped(app: Sphinx, what: str, name: str, of: object, skip: bool, options: object) -> bool:
    """Whether autodoc leaves out a member: of a module of tests, all but the tests."""
    in_tests = str(getattr(of, "__module__", "")).startswith("tests.")
    return not name.startswith("test_") if in_tests else skip


def source_of_aliases(app: Sphinx, module: str) -> tuple[str, dict] | None:
    """Give viewcode an empty page for the module of type aliases, which it lists and lacks."""
    return ("", {}) if module == "builtins" else None


class NameLinks(SphinxPostTransform):
    """Link the names of functions, classes and tests in prose to the page that documents them."""

    default_priority = 5  # before references are resolved
    formats = ("html",)

    def run(self, **options: object) -> None:
        """Put a reference around each `name`; one that leads nowhere stays as it is."""
        targets = known_names(self.env.domains.python_domain)
        place = {"refdomain": "py", "reftype": "obj", "refdoc": self.env.docname}
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.paragraph | nodes.strong | nodes.emphasis):
                name = re.split(r"[( ]", literal.astext())[0]
                target = targets.get(name, name)
                link = addnodes.pending_xref("", literal.deepcopy(), reftarget=target, **place)
                literal.replace_self(link)
        for node in self.document.findall(lambda node: isinstance(node, LONG_NAMES)):
            allow_breaks(node)


def allow_breaks(node: nodes.Element) -> None:
    """Let a browser break a long name after a dot, a slash or an underscore, and nowhere else."""
    first, *others = re.split(r"(?<=[._/])(?=\w)", node.astext())
    node.children = [nodes.Text(first)]
    for part in others:
        node += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


def known_names(domain: PythonDomain) -> dict[str, str]:
    """By the last words of its dotted name, the full name of everything in the API.

    A plain word, such as `train`, names what is directly in `alexnet_jax`, and nothing else.
    """
    names: dict[str, str] = {}
    for full, entry in domain.objects.items():
        words = full.split(".")
        is_plain = words[-1].islower() and "_" not in words[-1] and len(words) > 2
        if entry.objtype not in ("attribute", "method", "property"):
            for i in range(len(words) - is_plain):
                names.setdefault(".".join(words[i:]), full)
            names.setdefault(f"alexnet_jax.{words[-1]}", full)  # where users import it from
    return names


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the hooks."""
    app.add_config_value("page_run", "", "env", str)
    app.connect("config-inited", offer_drawing)
    app.connect("builder-inited", write_networks)
    app.connect("build-finished", write_drawing)
    app.connect("autodoc-process-docstring", to_rst, priority=400)  # before Napoleon
    app.connect("autodoc-skip-member", is_skipped)
    app.connect("viewcode-find-source", source_of_aliases)
    app.add_post_transform(NameLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
