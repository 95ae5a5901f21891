"""Which layers run: from the names that a caller asks for, and the shape of what they run on."""

from collections.abc import Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp

from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.architectures import torchvision_names
from alexnet_jax.architectures.torchvision_names import layer_name


def select_layers(
    net: Architecture, asked: str | Iterable[str] | None, after: str | None
) -> dict[str, str]:
    """Return the network's own name of each layer asked for, of all if None.

    Raises ValueError for a name that the network does not have, or not after the layer `after`.
    """
    order = net.layer_names()
    possible = order if after is None else order[order.index(layer_name(net, after)) + 1 :]
    if asked is None:
        return {name: name for name in possible}
    names = {name: layer_name(net, name) for name in ([asked] if isinstance(asked, str) else asked)}
    for name, layer in names.items():
        if layer not in possible:
            raise ValueError(f"{name} does not come after {after} in {net.name}")
    return names


def layers_to_run(net: Architecture, names: Mapping[str, str], after: str | None) -> Sequence[str]:
    """Return the layers that compute those of `select_layers`, from images or after a layer."""
    order = net.layer_names()
    start = 0 if after is None else order.index(layer_name(net, after)) + 1
    return order[start : max(map(order.index, names.values()), default=-1) + 1]


def layer_info(
    net: Architecture, names: Mapping[str, str], inputs: jax.Array, after: str | None
) -> Sequence[LayerInfo]:
    """Return the shapes of `layers_to_run`.

    Args:
      net: the network.
      names: from `select_layers`.
      inputs: images, or the output of the layer `after`.
      after: name of a layer, or None.

    Raises:
      ValueError: inputs of a shape that the network does not take.
      TypeError: inputs that are not floating.
    """
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        if after is not None:
            raise TypeError(f"the output of {after} must be floating, not {inputs.dtype}")
        raise TypeError(f"images must be floating and mean-subtracted, not {inputs.dtype}")
    if after is None and (inputs.ndim != 4 or inputs.shape[3] != 3):
        raise ValueError(f"images must be [n, height, width, 3], not {list(inputs.shape)}")
    layers = layers_to_run(net, names, after)
    if not layers:
        return ()
    if after is not None:
        return net.layer_info_after(layer_name(net, after), inputs.shape[1:], last=layers[-1])
    size = inputs.shape[1], inputs.shape[2]
    if 0 in size:
        raise ValueError(f"images must have pixels, and those of {list(inputs.shape)} have none")
    if any(torchvision_names.is_avgpool(net, name) for name in names):
        net.layer_info(size)  # raises where torchvision's layer would pool again
    return net.layer_info(size, last=layers[-1])
