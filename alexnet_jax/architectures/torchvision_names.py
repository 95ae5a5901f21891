"""Layers by the names of torchvision's modules, for the networks that have its layers."""

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures.variants import TORCHVISION


def _module_names() -> dict[str, str]:
    """Return the layer of TORCHVISION that each module of torchvision.models.alexnet computes.

    It has two Sequential, `features` and `classifier`, whose modules are numbered from 0. Between
    them are `avgpool`, which leaves the 6 x 6 maps of its image size as they are, and `flatten`.
    """
    layers = TORCHVISION.layer_names()
    middle = layers.index("flatten5")
    features = {f"features.{i}": name for i, name in enumerate(layers[:middle])}
    classifier = {f"classifier.{i}": name for i, name in enumerate(layers[middle + 1 :])}
    return features | {"avgpool": "pool5", "flatten": "flatten5"} | classifier


MODULES = _module_names()


def layer_name(net: Architecture, name: str) -> str:
    """Return the network's own name of a layer, given that or torchvision's.

    Raises:
      ValueError: a name that the network does not have.
    """
    names = net.layer_names()
    if name in names:
        return name
    has_modules = names == TORCHVISION.layer_names()
    if has_modules and name in MODULES:
        return MODULES[name]
    modules = ", or torchvision's names features.0 to classifier.6" if has_modules else ""
    raise ValueError(f"{net.name} has no layer {name!r}, but {', '.join(names)}{modules}")


def is_avgpool(net: Architecture, name: str) -> bool:
    """Whether the name is that of torchvision's adaptive pooling, and of no layer of the net."""
    return name == "avgpool" and name not in net.layer_names()
