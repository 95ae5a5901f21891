"""bvlc_alexnet.npy of the University of Toronto: Caffe's weights as a pickled dictionary."""

import mmap

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import CAFFE
from alexnet_jax.weights.files.numpy_pickles import NAMES
from alexnet_jax.weights.files.restricted_pickle import unpickled
from alexnet_jax.weights.loaded import LoadedWeights, params_of, with_classes
from alexnet_jax.weights.readers import caffe

MAGIC = b"\x93NUMPY"


def read_weights(
    data: mmap.mmap, architecture: Architecture | None, mean: np.ndarray | None
) -> LoadedWeights:
    """Return what the file holds, in which axes stand as ours and colors as Caffe's.

    Args:
      data: the file, from its beginning.
      architecture: the net it has to be, if not CAFFE with any number of classes.
      mean: Caffe's mean image, if there is one.

    Raises:
      ValueError: a file that is damaged, or asks for more than arrays.
    """
    short = np.lib.format.read_magic(data) == (1, 0)
    header = "read_array_header_1_0" if short else "read_array_header_2_0"
    _, _, kind = getattr(np.lib.format, header)(data)
    if not kind.hasobject:
        raise ValueError("it is a plain array, not a dictionary of layers")
    layers = unpickled(data, NAMES).only()
    if not isinstance(layers, dict):
        raise ValueError("it is no dictionary of layers")
    arrays = {}
    for name, pair in layers.items():
        if not (isinstance(name, str) and isinstance(pair, list | tuple) and len(pair) == 2):
            raise ValueError(f"{name!r:.40} has no list of weights and biases")
        try:
            arrays[name] = pair[0].numbers(), pair[1].numbers()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    net = architecture or with_classes(CAFFE, arrays)
    params = params_of(net, arrays, outputs_first=False, bgr=True)
    if others := arrays.keys() - params.keys():
        raise ValueError(f"it has {min(others)}, which {net.name} has not")
    return LoadedWeights("Toronto's", params, net, caffe.preprocessing(net, mean))
