"""Pages of the site that follow from the code: the front page, the nets, the API. Run by mkdocs."""

import re
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from alexnet_jax import architectures, summary, visualize

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")

API = """\
# API

Axes, everywhere: images and maps are [batch, height, width, maps], features [batch, features];
kernels [height, width, maps_in, maps_out], dense weights [features_in, features_out].

## The net as functions
"""
SECTIONS = {
    "": [
        *("init", "apply", "apply_train", "update_batch_stats", "activations", "summary"),
        *("Layer", "BatchStats", "Params"),
        *("make_mesh", "param_shardings", "batch_sharding"),
    ],
    "Nets": [
        *("Architecture", "architectures.by_name", "architectures.scaled"),
        "architecture.LayerInfo",
    ],
    "The words of a net": [
        *(
            "layer_specs.Conv",
            "layer_specs.Dense",
            "layer_specs.Output",
            "layer_specs.Relu",
            "layer_specs.ResponseNorm",
        ),
        *(
            "layer_specs.SpatialNorm",
            "layer_specs.BatchNorm",
            "layer_specs.MaxPool",
            "layer_specs.Gather",
            "layer_specs.Split",
        ),
        *("layer_specs.Flatten", "layer_specs.Dropout"),
    ],
    "Evaluation": ["evaluation"],
    "Weights in and out": ["load", "save", "export", "Preprocessing"],
    "What a network looks at": ["visualize.attribution"],
    "Flax": ["flax_modules"],
    "Normalization": ["ops.normalization"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {"index.md": front_page(), "architectures.md": nets(), "api.md": api()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    with tempfile.TemporaryDirectory() as folder:
        for net in architectures.NETS:
            path = Path(folder, f"{net.name}.svg")
            visualize.draw(net, path)
            name = f"diagrams/{net.name}.svg"
            files.append(File.generated(config, name, content=path.read_bytes()))
    return files


def front_page() -> str:
    """README, with links to the pages of the site; what is no page of it is plain text here."""

    def link(found: re.Match[str]) -> str:
        text, target = found.groups()
        return f"[{text}]({target[5:]})" if target.startswith("docs/") else text

    readme = (ROOT / "README.md").read_text()
    return LINK.sub(link, readme).replace('src="docs/', 'src="')


def nets() -> str:
    """Every net with its table and its diagram."""
    parts = [
        "# Tables and diagrams\n\nWhat each net is and where it comes from: [nets](nets.md).\n"
    ]
    for net in architectures.NETS:
        table, picture = summary(net), f"![{net.name}](diagrams/{net.name}.svg)"
        parts.append(f"## {net.name}\n\n```\n{table}\n```\n\n{picture}\n")
    return "\n".join(parts)


def api() -> str:
    """The public functions, from their docstrings."""
    parts = [API]
    for title, names in SECTIONS.items():
        parts += [f"## {title}"] * bool(title)
        parts += [f"::: alexnet_jax.{name}" for name in names]
    return "\n\n".join(parts)
