"""A network as a diagram, and what it looks at in an image.

    alexnet_jax.visualize.draw(alexnet_jax.architectures.PAPER, "paper.png")
    maps = alexnet_jax.visualize.saliency(params, images, classes)

Only `draw` needs matplotlib.
"""

from pathlib import Path

from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture
from alexnet_jax.visualize.attribution import class_images as class_images
from alexnet_jax.visualize.attribution import occlusion as occlusion
from alexnet_jax.visualize.attribution import saliency as saliency
from alexnet_jax.visualize.class_activation import grad_cam as grad_cam

DIAGRAM_FORMATS = (".png", ".svg", ".pdf")
"""The file formats that `draw` writes, by suffix."""


def draw(
    architecture: Architecture | str,
    path: str | Path,
    image_size: int | None = None,
    *,
    horizontal: bool = False,
) -> None:
    """Draw the network as in Figure 2 of the paper, into a .png, .svg or .pdf file.

    Args:
      architecture: the network, or its name.
      path: the file to write.
      image_size: in pixels, square; the first of the architecture's sizes if None.
      horizontal: whether the towers lie down, for a wide page, with fewer words.

    Raises:
      ValueError: another suffix, a folder that does not exist, or an image size that the network
        does not take.
      OSError: the file cannot be written.
    """
    from alexnet_jax.visualize.matplotlib_import import import_matplotlib

    import_matplotlib()
    from alexnet_jax.visualize import diagram  # imports matplotlib, which takes long

    path = Path(path)
    if path.suffix.lower() not in DIAGRAM_FORMATS:
        formats = ", ".join(DIAGRAM_FORMATS)
        raise ValueError(f"a diagram's file must end in {formats}; {path} does not")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to draw {path.name} into")
    net = architectures.get(architecture)
    diagram.figure(net, image_size, horizontal=horizontal).savefig(path, dpi=144)
