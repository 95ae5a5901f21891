"""Every network by name, each a list of the layers in `alexnet_jax.layer_specs`."""

import re

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures.cifar import CIFAR_11PCT as CIFAR_11PCT
from alexnet_jax.architectures.cifar import CIFAR_13PCT as CIFAR_13PCT
from alexnet_jax.architectures.cifar import CIFAR_18PCT as CIFAR_18PCT
from alexnet_jax.architectures.cifar import CIFAR_19PCT as CIFAR_19PCT
from alexnet_jax.architectures.notebooks import BATCH_NORM as BATCH_NORM
from alexnet_jax.architectures.notebooks import KERAS_FIFTH_11 as KERAS_FIFTH_11
from alexnet_jax.architectures.notebooks import KERAS_STRIDE_4 as KERAS_STRIDE_4
from alexnet_jax.architectures.notebooks import KERAS_TUTORIAL as KERAS_TUTORIAL
from alexnet_jax.architectures.notebooks import scaled as scaled
from alexnet_jax.architectures.original import NO_COMMUNICATION as NO_COMMUNICATION
from alexnet_jax.architectures.original import NO_NORM as NO_NORM
from alexnet_jax.architectures.original import NON_OVERLAPPING_POOL as NON_OVERLAPPING_POOL
from alexnet_jax.architectures.original import ONE_GPU as ONE_GPU
from alexnet_jax.architectures.original import ORIGINAL as ORIGINAL
from alexnet_jax.architectures.original import ORIGINAL_PLAIN_CONV2 as ORIGINAL_PLAIN_CONV2
from alexnet_jax.architectures.original import SIX_CONV as SIX_CONV
from alexnet_jax.architectures.paper import DIGITS as DIGITS
from alexnet_jax.architectures.paper import PAPER as PAPER
from alexnet_jax.architectures.photographs import PHOTOGRAPHS as PHOTOGRAPHS
from alexnet_jax.architectures.variants import CAFFE as CAFFE
from alexnet_jax.architectures.variants import CAFFENET as CAFFENET
from alexnet_jax.architectures.variants import ONE_WEIRD_TRICK as ONE_WEIRD_TRICK
from alexnet_jax.architectures.variants import SINGLE_TOWER as SINGLE_TOWER
from alexnet_jax.architectures.variants import TORCHVISION as TORCHVISION
from alexnet_jax.suggestion import did_you_mean

NETS = (
    PAPER,
    DIGITS,
    ORIGINAL,
    ORIGINAL_PLAIN_CONV2,
    ONE_GPU,
    NON_OVERLAPPING_POOL,
    NO_NORM,
    NO_COMMUNICATION,
    SIX_CONV,
    CAFFE,
    CAFFENET,
    ONE_WEIRD_TRICK,
    TORCHVISION,
    SINGLE_TOWER,
    BATCH_NORM,
    KERAS_STRIDE_4,
    KERAS_TUTORIAL,
    KERAS_FIFTH_11,
    PHOTOGRAPHS,
    CIFAR_19PCT,
    CIFAR_18PCT,
    CIFAR_13PCT,
    CIFAR_11PCT,
)


def by_name(name: str) -> Architecture:
    """Return the network of that name, in any case, with _ or -.

    SCALED_8_113 is `scaled(8, 113)`, SCALED_8_113_ONE_TOWER is `scaled(8, 113, towers=1)`, and so
    on for other numbers.

    Raises:
      ValueError: another name; the message has the nearest one, or says where all are listed.
    """
    nets = {net.name: net for net in NETS}
    known = name.upper().replace("-", "_")
    if known in nets:
        return nets[known]
    if sizes := re.fullmatch(r"SCALED_(\d+)_(\d+)(_ONE_TOWER)?", known):
        return scaled(int(sizes[1]), int(sizes[2]), towers=1 if sizes[3] else 2)
    hint = did_you_mean(known, [*nets, "SCALED_8_113"])
    hint = hint or "; python -m alexnet_jax --help lists them"
    raise ValueError(f"there is no net named {name!r}{hint}")


def get(architecture: Architecture | str) -> Architecture:
    """Return an architecture, or the one that a name stands for, see `by_name`.

    Every function of the library that takes an `architecture` takes a name as well.

    Raises:
      ValueError: a name that there is not.
      TypeError: anything else.
    """
    if isinstance(architecture, str):
        return by_name(architecture)
    if not isinstance(architecture, Architecture):
        kind = type(architecture).__name__
        raise TypeError(f"`architecture` must be an Architecture or the name of one, not {kind}")
    return architecture
