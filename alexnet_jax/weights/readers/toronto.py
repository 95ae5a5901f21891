"""bvlc_alexnet.npy of the University of Toronto: Caffe's weights as a pickled dictionary."""

import mmap

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE
from alexnet_jax.printable import printable
from alexnet_jax.weights.files import npy_file
from alexnet_jax.weights.files.pickled_numpy import NUMPY_NAMES, PickledArray
from alexnet_jax.weights.files.restricted_pickle import load_pickle
from alexnet_jax.weights.loaded import LoadedWeights, convert_params, with_class_count
from alexnet_jax.weights.readers import caffe

_MAX_LAYERS = 1000  # AlexNet has 8


def read_weights(
    data: mmap.mmap, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what the file holds: its axes are ours, its colors Caffe's.

    Args:
      data: the file, from its beginning.
      architecture: the network that it must be, if not CAFFE with any number of classes.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: a file that is damaged, or asks for more than arrays.
    """
    _, _, dtype = npy_file.read_header(data)
    if not dtype.hasobject:
        raise ValueError("it is a plain array, not a dictionary of layers")
    content = load_pickle(data, NUMPY_NAMES)
    layers = content.item() if isinstance(content, PickledArray) else None
    if not isinstance(layers, dict):
        raise ValueError("it is not a dictionary of layers")
    if len(layers) > _MAX_LAYERS:
        raise ValueError(f"it has {len(layers):,} layers")
    arrays = {}
    for name, pair in layers.items():
        match pair:
            case [PickledArray() as weights, PickledArray() as biases] if isinstance(name, str):
                pass
            case _:
                name = printable(name, 40) if isinstance(name, str) else "a layer without a name"
                raise ValueError(f"{name} has no list of weights and biases")
        try:
            arrays[name] = weights.numbers(), biases.numbers()
        except ValueError as error:
            raise ValueError(f"{printable(name, 40)}: {error}") from None
    net = architecture or with_class_count(CAFFE, arrays)
    params = convert_params(net, arrays, outputs_first=False, bgr=True)
    if others := arrays.keys() - params.keys():
        raise ValueError(f"it has {min(others)}, which {net.name} has not")
    return LoadedWeights("Toronto's", params, net, caffe.make_preprocessing(net, mean))
