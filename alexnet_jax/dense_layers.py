"""The last dense layers, which the devices of a group can share (Krizhevsky 2014)."""

from collections.abc import Sequence

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_info import LayerInfo, is_replicated_after
from alexnet_jax.layer_specs import BatchNorm, Dense, Dropout, Gather, Output, Relu, Split, Tanh


def shared_layers(net: Architecture) -> dict[str, LayerInfo]:
    """Return the layers that devices can share, by name, each as one device of a group sees it.

    They are the longest end of the network that begins with a layer that weights all features, and
    in which every other layer computes each feature by itself. In a group each device is like a
    tower: it has some features of each layer, or all where `replicated_in` and `replicated_out`
    say so.
    """
    infos = net.layer_info()
    replicated, shared = True, {}
    for info in infos[_start(infos) :]:
        after = is_replicated_after(info.spec, replicated)
        shared[info.name] = info._replace(replicated_in=replicated, replicated_out=after)
        replicated = after
    return shared


def _start(infos: Sequence[LayerInfo]) -> int:
    """Return the position of the first layer that devices can share."""
    start = len(infos)
    for number in reversed(range(len(infos))):
        spec = infos[number].spec
        if weights_all_features(infos[number]):
            start = number
        elif spec.has_apply or not isinstance(
            spec, Relu | Tanh | Dropout | BatchNorm | Gather | Split
        ):
            break
    return start


def weights_all_features(info: LayerInfo) -> bool:
    """Return whether a layer has weights for the features of all towers, not of its own alone."""
    is_dense = isinstance(info.spec, Dense | Output) and not info.spec.has_apply
    return is_dense and info.weight_shape is not None and info.weight_shape[:1] == info.input_shape


def shared_widths(net: Architecture) -> list[int]:
    """Return the numbers of features that the devices of a group divide."""
    return [
        info.input_shape[0] if isinstance(info.spec, Output) else info.output_shape[0]
        for info in shared_layers(net).values()
        if weights_all_features(info)
    ]
