"""Whether two networks compute the same, whatever their names and initial values."""

import dataclasses

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import BatchNorm, Conv, Dense, Dropout, LayerSpec, Output


def same_computation(first: Architecture, second: Architecture, *, widths: bool = True) -> bool:
    """Return whether two networks compute the same at test time if they have the same parameters.

    These may differ: the names of the networks (not those of layers), image sizes, initial values,
    the momentum of running statistics, the number of classes, and inverted dropout, which does
    nothing at test time.

    Args:
      first: one network.
      second: the other.
      widths: whether the numbers of maps and features must agree, too. Without, the networks have
        the same layers and may have parameters of other shapes.
    """
    return first.towers == second.towers and (
        _layers_to_compare(first, widths) == _layers_to_compare(second, widths)
    )


def _layers_to_compare(network: Architecture, widths: bool) -> list[LayerSpec]:
    layers: list[LayerSpec] = []
    for spec in network.layers:
        match spec:
            case Conv(maps=maps):
                maps = maps if widths else 0
                layers.append(dataclasses.replace(spec, maps=maps, std=0.0, bias=0.0))
            case Dense(features=features):
                features = features if widths else 0
                layers.append(dataclasses.replace(spec, features=features, std=0.0, bias=0.0))
            case Output():
                layers.append(dataclasses.replace(spec, classes=0, std=0.0, bias=0.0))
            case BatchNorm():
                layers.append(dataclasses.replace(spec, momentum=0.0))
            case Dropout(inverted=True):
                pass
            case _:
                layers.append(spec)
    return layers
