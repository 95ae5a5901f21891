"""The network that a configuration names or holds."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax

import alexnet_jax
from alexnet_jax import Architecture
from alexnet_jax.user_code import find_architecture, is_own, one_sentence
from alexnet_jax.weights.spec_json import architecture_from_json, to_json

from .config import Config
from .errors import BadInput


def get_architecture(config: Config) -> Architecture:
    """Return the network, with its own number of classes.

    Raises BadInput for a wrong name, or layer types of the user's own that do not run.
    """
    net = config.recipe.net
    if isinstance(net, str) and is_own(net):
        raise BadInput(f"`net` {net} is for the command; in Python, give the Architecture itself")
    try:
        architecture = alexnet_jax.architectures.get(net)
        _trace_own_layers(architecture)
    except (ValueError, TypeError) as error:
        raise BadInput(f"`net`: {error}") from None
    return architecture


def check_layers(argument: str, names: Iterable[str], architecture: Architecture) -> None:
    """Raise BadInput unless `names`, values of an argument, are layers with parameters."""
    layers = [info.name for info in architecture.layer_info() if info.weight_shape]
    for name in names:
        if name not in layers:
            known = ", ".join(layers)
            raise BadInput(f"`{argument}`: {architecture.name} has no layer {name!r}, but {known}")


@functools.cache
def _trace_own_layers(net: Architecture) -> None:
    """Trace a network with layer types of the user's own. Raises ValueError with file and line."""
    if not any(spec.has_apply for spec in net.layers):
        return
    size = net.image_sizes[0]
    images = jax.ShapeDtypeStruct((1, size, size, 3), "float32")

    def run(images: jax.Array) -> jax.Array:
        params = alexnet_jax.init(jax.random.key(0), net)
        return alexnet_jax.apply(params, images, architecture=net)

    with one_sentence(net.name, ours=f"{Path(__file__).parents[1]}/"):
        jax.eval_shape(run, images)


def read_net(text: str) -> str | Architecture:
    """Return a network of the user's own for FILE.py:NAME or module:NAME, other names unchanged.

    A network of the library, which the file may import, is returned as its name. Raises BadInput if
    there is none, or if config.json cannot hold it.
    """
    if not is_own(text):
        return text
    try:
        net = find_architecture(text)
    except ValueError as error:
        raise BadInput(f"`net`: {error}") from None
    net_to_json(net)  # refuses now what it would refuse in the run
    return next((one.name for one in alexnet_jax.architectures.NETS if one == net), net)


def net_to_json(net: str | Architecture) -> str | dict[str, Any]:
    """Return the network as config.json keeps it: a name, or the layers of the user's own.

    Raises BadInput for layers that it cannot hold.
    """
    try:
        return net if isinstance(net, str) else to_json(net)
    except ValueError as error:
        raise BadInput(f"`net`: {error}") from None


def net_from_json(value: object) -> str | Architecture:
    """Return what `net_to_json` wrote. Raises ValueError for anything else."""
    if isinstance(value, str):
        return value
    return architecture_from_json(value)
