"""The networks that later programs call AlexNet, each as in its own source.

Where a source draws initial values from a uniform distribution, ours are normal with the same
standard deviation.
"""

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    Split,
)

# Caffe, PyTorch and cuda-convnet2 all divide alpha by n; k = 1 is their default.
CAFFE_NORM = ResponseNorm(k=1, divide_alpha_by_n=True)
K_TWO_NORM = ResponseNorm(k=2, divide_alpha_by_n=True)

CAFFE = Architecture(
    "CAFFE",
    image_sizes=(227,),
    towers=2,
    layers=(
        Conv("conv1", 96, kernel=11, stride=4),  # 55 x 55 x 96
        Relu(),
        Gather(),
        CAFFE_NORM,  # across the maps of both towers
        Split(),
        MaxPool(),  # 27 x 27 x 96
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=0.1),  # 27 x 27 x 256
        Relu(),
        Gather(),
        CAFFE_NORM,
        MaxPool(),  # 13 x 13 x 256
        Conv("conv3", 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 384, kernel=3, padding=(1, 1), bias=0.1),  # 13 x 13 x 384
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), bias=0.1),  # 13 x 13 x 256
        Relu(),
        MaxPool(),  # 6 x 6 x 256
        Gather(),
        Flatten(),
        Dense("fc6", 4096, std=0.005, bias=0.1),
        Relu(),
        Dropout(inverted=True),
        Gather(),
        Dense("fc7", 4096, std=0.005, bias=0.1),
        Relu(),
        Dropout(inverted=True),
        Output("fc8", 1000),
    ),
)
"""Caffe's models/bvlc_alexnet: 60,965,224 parameters; 57.1 % top-1, 80.2 % top-5 in its readme.

Its groups are the towers. Biases start from 0.1: with 1, its authors saw the loss stay flat.
"""

CAFFENET = Architecture(
    "CAFFENET",
    image_sizes=(227,),
    towers=2,
    layers=(
        Conv("conv1", 96, kernel=11, stride=4),  # 55 x 55 x 96
        Relu(),
        MaxPool(),  # 27 x 27 x 96
        Gather(),
        CAFFE_NORM,
        Split(),
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 256
        Relu(),
        MaxPool(),  # 13 x 13 x 256
        Gather(),
        CAFFE_NORM,
        Conv("conv3", 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 384, kernel=3, padding=(1, 1), bias=1),  # 13 x 13 x 384
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), bias=1),  # 13 x 13 x 256
        Relu(),
        MaxPool(),  # 6 x 6 x 256
        Gather(),
        Flatten(),
        Dense("fc6", 4096, std=0.005, bias=1),
        Relu(),
        Dropout(inverted=True),
        Gather(),
        Dense("fc7", 4096, std=0.005, bias=1),
        Relu(),
        Dropout(inverted=True),
        Output("fc8", 1000),
    ),
)
"""Caffe's models/bvlc_reference_caffenet, which pools before it normalizes: 60,965,224 parameters.

57.4 % top-1, 80.4 % top-5 in its readme.
"""

ONE_WEIRD_TRICK = Architecture(
    "ONE_WEIRD_TRICK",
    image_sizes=(224, 227),
    towers=1,
    layers=(
        Conv("conv1", 64, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 64
        K_TWO_NORM,
        MaxPool(),  # 27 x 27 x 64
        Relu(),
        Conv("conv2", 192, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 192
        Relu(),
        K_TWO_NORM,
        MaxPool(),  # 13 x 13 x 192
        Conv("conv3", 384, kernel=3, padding=(1, 1), std=0.03),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 256, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 256
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 256
        MaxPool(),  # 6 x 6 x 256
        Relu(),
        Flatten(),
        Dense("fc6", 4096, bias=1),
        Relu(),
        Dropout(),
        Dense("fc7", 4096, bias=1),
        Relu(),
        Dropout(),
        Output("fc8", 1000, bias=-7),
    ),
)
"""cuda-convnet2's layers/layers-imagenet-1gpu.cfg, of "One weird trick" (Krizhevsky, 2014).

61,100,840 parameters; 42.55 % top-1 and 19.81 % top-5 error in its documentation. Initial values
and the position of ReLUs are ORIGINAL's, except for the bias of -7 of the logits.
"""


def _torch_std(fan_in: int) -> float:
    """Standard deviation of PyTorch's initial weights, uniform within 1 / sqrt(fan_in)."""
    return (3 * fan_in) ** -0.5


TORCHVISION = Architecture(
    "TORCHVISION",
    image_sizes=(224,),
    towers=1,
    layers=(
        Conv(
            "conv1", 64, 11, stride=4, padding=(2, 2), std=_torch_std(11 * 11 * 3)
        ),  # 55 x 55 x 64
        Relu(),
        MaxPool(),  # 27 x 27 x 64
        Conv("conv2", 192, kernel=5, padding=(2, 2), std=_torch_std(5 * 5 * 64)),  # 27 x 27 x 192
        Relu(),
        MaxPool(),  # 13 x 13 x 192
        Conv("conv3", 384, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 192)),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 256, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 384)),  # 13 x 13 x 256
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 256)),  # 13 x 13 x 256
        Relu(),
        MaxPool(),  # 6 x 6 x 256, which its adaptive average pooling leaves unchanged
        Flatten(),
        Dropout(inverted=True),
        Dense("fc6", 4096, std=_torch_std(9216)),
        Relu(),
        Dropout(inverted=True),
        Dense("fc7", 4096, std=_torch_std(4096)),
        Relu(),
        Output("fc8", 1000, std=_torch_std(4096)),
    ),
)
"""torchvision.models.alexnet, for images of unit standard deviation: 61,100,840 parameters.

56.522 % top-1, 79.066 % top-5 in its documentation. Our biases start from 0, torchvision's do not.
"""

SINGLE_TOWER = Architecture(
    "SINGLE_TOWER",
    image_sizes=(227, 224),
    towers=1,
    layers=(
        # At 224 pixels, fc6 of the source needs this padding to get 6 x 6 maps.
        Conv(
            "conv1", 96, 11, stride=4, padding=(0, 3), std=_torch_std(11 * 11 * 3)
        ),  # 55 x 55 x 96
        Relu(),
        K_TWO_NORM,
        MaxPool(),  # 27 x 27 x 96
        Conv("conv2", 256, kernel=5, padding=(2, 2), std=_torch_std(5 * 5 * 96)),  # 27 x 27 x 256
        Relu(),
        K_TWO_NORM,
        MaxPool(),  # 13 x 13 x 256
        Conv("conv3", 384, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 256)),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 384, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 384)),  # 13 x 13 x 384
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), std=_torch_std(3 * 3 * 384)),  # 13 x 13 x 256
        Relu(),
        MaxPool(),  # 6 x 6 x 256
        Flatten(),
        Dense("fc6", 4096, std=_torch_std(9216)),
        Relu(),
        Dropout(inverted=True),
        Dense("fc7", 4096, std=_torch_std(4096)),
        Relu(),
        Dropout(inverted=True),
        Output("fc8", 1000, std=_torch_std(4096)),
    ),
)
"""The paper's widths in one tower whose kernels see all maps, as PyTorch notebooks write it.

62,378,344 parameters. PyTorch's LocalResponseNorm divides alpha by n; the notebooks set k = 2.
"""
