"""The networks that differ from a named one in what a finding is about."""

import dataclasses

from alexnet_jax.architectures import CIFAR_19PCT
from alexnet_jax.layer_specs import Relu, Tanh

CIFAR_19PCT_TANH = dataclasses.replace(
    CIFAR_19PCT,
    name="CIFAR_19PCT_TANH",
    layers=tuple(Tanh() if isinstance(spec, Relu) else spec for spec in CIFAR_19PCT.layers),
)
"""The four-layer network of Figure 1 with tanh units."""
