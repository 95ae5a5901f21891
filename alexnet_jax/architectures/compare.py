"""Whether two networks compute the same, whatever their names and initial values."""

import dataclasses

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    LayerSpec,
    LocallyConnected,
    Output,
)


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
    return [
        _without_initial_values(spec, widths)
        for spec in network.layers
        if spec != Dropout(inverted=True)
    ]


def _without_initial_values(spec: LayerSpec, widths: bool) -> LayerSpec:
    """Return the layer with the same value in each field that need not agree."""
    fields = {field.name for field in dataclasses.fields(spec)}
    ignored = {name: 0.0 for name in ("std", "bias") if spec.has_params and name in fields}
    match spec:
        case Conv() | LocallyConnected() if not widths:
            ignored["maps"] = 1
        case Dense() if not widths:
            ignored["features"] = 1
        case Output():
            ignored["classes"] = 1
        case BatchNorm():
            ignored["momentum"] = 0.0
    return dataclasses.replace(spec, **ignored)
