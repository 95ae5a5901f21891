"""What pyproject.toml cannot compute: the packages, and a README whose links work on its own.

`repository` under [tool.alexnet_jax] in pyproject.toml is the one place for the address of the
repository. README's links and picture, and the links of the package's page, are made from it.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)\s]+)\)")
PICTURE = re.compile(r'(<img src=")(?!https?:)([^"]+)("[^>]*>)')
WITHOUT_ADDRESS = (
    "*The pages that this text names, and its drawings, are in the source distribution of this "
    "package, in its folder `docs`.*"
)


def read_repository() -> str:
    """Return the address of the repository, "" where its owner has set none."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings["tool"]["alexnet_jax"]["repository"].rstrip("/")


def absolute_readme(text: str, repository: str) -> str:
    """Return README for a page outside of the repository.

    Its links and pictures become absolute. Without an address the links become plain text, and a
    sentence that says where the pages are stands for the first picture, nothing for the others.
    """
    if not repository:
        text = PICTURE.sub(WITHOUT_ADDRESS, text, count=1)
        return LINK.sub(r"\1", PICTURE.sub("", text))
    text = PICTURE.sub(rf"\1{repository}/raw/HEAD/\2\3", text)
    return LINK.sub(rf"[\1]({repository}/blob/HEAD/\2)", text)


def project_urls(repository: str) -> dict[str, str]:
    """Return the links of the package's page, none without an address."""
    if not repository:
        return {}
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/HEAD/docs",
        "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


if __name__ == "__main__":
    from setuptools import find_packages, setup

    # The name `train` could clash with other packages. Its imports are relative, so both work.
    folders = find_packages(include=["alexnet_jax*", "train", "train.*"])
    setup(
        packages=[re.sub(r"^train\b", "alexnet_jax_train", folder) for folder in folders],
        package_dir={"alexnet_jax_train": "train"},
        long_description=absolute_readme((ROOT / "README.md").read_text(), read_repository()),
        long_description_content_type="text/markdown",
        project_urls=project_urls(read_repository()),
    )
