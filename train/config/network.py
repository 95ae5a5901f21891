"""The network that a configuration names."""

import alexnet_jax
from alexnet_jax import Architecture

from .config import Config
from .errors import BadInput


def get_architecture(config: Config) -> Architecture:
    """Return the network, with its own number of classes. Raises BadInput for a wrong name."""
    try:
        return alexnet_jax.architectures.by_name(config.recipe.net)
    except ValueError as error:
        raise BadInput(f"`net`: {error}") from None
