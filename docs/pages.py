"""Pages of the site made from the code: the front page, the networks, the API. A hook of mkdocs."""

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

Axes: images and maps are [batch, height, width, maps], features [batch, features],
kernels [height, width, maps_in, maps_out], dense weights [features_in, features_out].

## Networks as functions
"""
SECTIONS = {
    "": [
        *("init", "apply", "apply_train", "update_batch_stats"),
        *("activations", "activations_train", "summary"),
        *("Layer", "BatchStats", "Params", "params.ParamsLike"),
        *("make_mesh", "param_shardings", "batch_sharding"),
    ],
    "Architectures": [
        *("Architecture", "architectures.get", "architectures.by_name", "architectures.scaled"),
        "layer_info.LayerInfo",
    ],
    "Layer types": [
        f"layer_specs.{name}"
        for name in (
            *("Conv", "Dense", "Output", "Relu", "ResponseNorm", "SpatialNorm", "BatchNorm"),
            *("MaxPool", "Gather", "Split", "Flatten", "Dropout"),
            *("Tanh", "MeanPool", "LocallyConnected"),
        )
    ]
    + ["layer_type.LayerSpec"],
    "Evaluation": ["evaluation"],
    "Weights": ["load", "read", "save", "export", "LoadedWeights", "Preprocessing"],
    "What a network looks at": ["visualize.attribution", "visualize.grad_cam"],
    "Perceptual distance": ["perceptual"],
    "Drawing": ["visualize.draw"],
    "Flax": ["flax_modules"],
    "Normalization": ["ops.normalization"],
    "Towers": [
        f"towers.{name}" for name in ("num_batch_shards", "local_batch_slice", "global_batch")
    ],
}
"""By section of the API page: names in `alexnet_jax`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    pages = {"index.md": front_page(), "architectures.md": network_page(), "api.md": api_page()}
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
    """README, with links between pages of the site; links to other files become plain text."""

    def rewrite(link: re.Match[str]) -> str:
        text, target = link.groups()
        return f"[{text}]({target[5:]})" if target.startswith("docs/") else text

    readme = (ROOT / "README.md").read_text()
    return LINK.sub(rewrite, readme).replace('src="docs/', 'src="')


def network_page() -> str:
    """Every network with its table and its diagram."""
    parts = [
        "# Tables and diagrams\n\nDescriptions and sources are on the page [networks](nets.md).\n"
    ]
    for net in architectures.NETS:
        table, picture = summary(net), f"![{net.name}](diagrams/{net.name}.svg)"
        parts.append(f"## {net.name}\n\n```\n{table}\n```\n\n{picture}\n")
    return "\n".join(parts)


def api_page() -> str:
    """The public functions, from their docstrings."""
    parts = [API]
    for title, names in SECTIONS.items():
        parts += [f"## {title}"] * bool(title)
        parts += [f"::: alexnet_jax.{name}" for name in names]
    return "\n\n".join(parts)
