"""AlexNets in other programs' layout, in float64 NumPy: [maps, height, width], outputs first.

Nothing here imports the library. A network is a string of layer names. Kernels are
[out, in / groups, h, w], dense layers [out, in]; features run over maps, then rows, then columns.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

TAIL = "conv3 relu conv4 relu conv5 relu pool fc6 relu fc7 relu fc8"
CAFFE = f"conv1 relu norm pool conv2 relu norm pool {TAIL}"
CAFFENET = f"conv1 relu pool norm conv2 relu pool norm {TAIL}"
TORCHVISION = f"conv1 relu pool conv2 relu pool {TAIL}"
GROUPS = {"conv2": 2, "conv4": 2, "conv5": 2}  # in Caffe
PADDING = {"conv1": 0, "conv2": 2, "conv3": 1, "conv4": 1, "conv5": 1}
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def weights(rng, widths, groups):
    """Random weights, scaled so that images of deviation 70 keep their signal in every layer."""
    arrays, maps_in = {}, 3
    for name, width in zip(LAYERS, widths):
        size = {"conv1": 11, "conv2": 5}.get(name, 3)
        shape = (width, maps_in // groups.get(name, 1), size, size)
        if name.startswith("fc"):
            shape = (width, 36 * maps_in if name == "fc6" else maps_in)
        scale = (2 / np.prod(shape[1:])) ** 0.5 / (70 if name == "conv1" else 1)
        kernels = scale * rng.normal(size=shape)
        arrays[name] = np.float32(kernels), np.float32(0.1 * rng.normal(size=width))
        maps_in = width
    return arrays


def logits(net, arrays, x, groups, padding):
    """The logits of one image [3, height, width]."""
    for name in net.split():
        if name == "relu":
            x = np.maximum(x, 0)
        elif name == "norm":
            x = response_norm(x)
        elif name == "pool":
            x = sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((3, 4))
        elif name.startswith("conv"):
            stride = 4 if name == "conv1" else 1
            x = convolution(x, *arrays[name], stride, padding[name], groups.get(name, 1))
        else:
            kernels, biases = (np.float64(a) for a in arrays[name])
            x = kernels @ x.reshape(-1) + biases
    return x


def convolution(x, kernels, biases, stride, padding, groups):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, kernels.shape[2:], (1, 2))[:, ::stride, ::stride]
    halves = zip(np.split(windows, groups), np.split(np.float64(kernels), groups))
    out = [np.tensordot(k, w, ([1, 2, 3], [0, 3, 4])) for w, k in halves]
    return np.concatenate(out) + biases[:, None, None]


def response_norm(x):
    """Caffe's norm: alpha / n over five maps, across groups, k = 1."""
    total = np.ones_like(x)
    for i in range(len(x)):
        for j in range(max(0, i - 2), min(len(x), i + 3)):
            total[i] += 1e-4 / 5 * x[j] ** 2
    return x / total**0.75
