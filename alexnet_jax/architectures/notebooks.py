"""Networks of published notebooks, and the paper's network in any width and for any image size."""

import dataclasses

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures.paper import PAPER
from alexnet_jax.layer_specs import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    LayerSpec,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
)


def scaled(filters: int = 64, image_size: int = 224, towers: int = 2) -> Architecture:
    """Return the paper's network with `filters` / 64 of its maps and features, for any image size.

    The idea is from a TensorFlow repository that trains a network of 8 filters on digits of 113
    pixels. Kernels that see fewer maps start from a larger standard deviation, so that the signal
    keeps its size. With `towers=1` all kernels see all maps.

    Raises:
      ValueError: `filters` that the towers cannot share, or an image size that is too small for
        all the layers.
    """
    if towers not in (1, 2):
        raise ValueError(f"the paper's net has 1 tower or 2, not {towers}")
    if filters < 2 or filters % (2 * towers):
        share = "an even number with one tower, a multiple of 4 with two"
        raise ValueError(f"filters must be {share}, not {filters}")
    wider = (64 / filters) ** 0.5

    def scale(spec: LayerSpec) -> LayerSpec:
        match spec:
            case Conv("conv1", maps):  # sees three colors at any width
                return dataclasses.replace(spec, maps=maps * filters // 64)
            case Conv(maps=maps, std=std):
                return dataclasses.replace(spec, maps=maps * filters // 64, std=std * wider)
            case Dense(features=features, std=std):
                features = features * filters // 64
                return dataclasses.replace(spec, features=features, std=std * wider)
            case Output(std=std):
                return dataclasses.replace(spec, std=std * wider)
        return spec

    name = f"SCALED_{filters}_{image_size}" + ("_ONE_TOWER" if towers == 1 else "")
    net = Architecture(name, (image_size,), towers, tuple(map(scale, PAPER.layers)))
    net.layer_info()  # raises ValueError if the images are too small
    return net


def _keras_std(fan_in: int, fan_out: int) -> float:
    """Standard deviation of Keras' initial weights (Glorot), there uniform and here normal."""
    return (2 / (fan_in + fan_out)) ** 0.5


TENSORFLOW_NORM = ResponseNorm(n=11, k=1, alpha=1, beta=0.5)
"""tf.nn.local_response_normalization with its defaults: depth_radius 5, a window of 11."""

KERAS_STRIDE_4 = Architecture(
    "KERAS_STRIDE_4",
    image_sizes=(224,),
    towers=1,
    layers=(
        # "same" padding of Keras: the fewest zeros for ceil(pixels / 4), an odd one at the end.
        Conv("conv1", 96, 11, 4, padding=(3, 4), std=_keras_std(11 * 11 * 3, 11 * 11 * 96)),
        TENSORFLOW_NORM,  # 56 x 56 x 96
        Relu(),
        MaxPool(),  # 27 x 27 x 96
        Conv("conv2", 256, 5, 4, padding=(1, 1), std=_keras_std(5 * 5 * 96, 5 * 5 * 256)),
        TENSORFLOW_NORM,  # 7 x 7 x 256
        Relu(),
        MaxPool(),  # 3 x 3 x 256
        Conv("conv3", 384, 3, 4, std=_keras_std(3 * 3 * 256, 3 * 3 * 384)),  # 1 x 1 x 384
        Relu(),
        Conv("conv4", 384, 3, 4, padding=(1, 1), std=_keras_std(3 * 3 * 384, 3 * 3 * 384)),
        Relu(),
        Conv("conv5", 256, 3, 4, padding=(1, 1), std=_keras_std(3 * 3 * 384, 3 * 3 * 256)),
        Relu(),
        Flatten(),  # 256
        Dense("fc6", 4096, std=_keras_std(256, 4096)),
        Relu(),
        Dropout(inverted=True),
        Dense("fc7", 4096, std=_keras_std(4096, 4096)),
        Relu(),
        Dropout(inverted=True),
        Output("fc8", 10, std=_keras_std(4096, 10)),
    ),
)
"""A Keras notebook for MNIST at 224 pixels, with stride 4 in every convolution: 21,622,154.

Its norm comes before the ReLU, with TensorFlow's defaults, which bring each map to about 1 at any
scale of the images. conv3 leaves one pixel, the only input of conv4 and conv5.
"""


def _keras_conv(
    name: str,
    maps_in: int,
    maps: int,
    kernel: int,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
) -> Conv:
    std = _keras_std(kernel**2 * maps_in, kernel**2 * maps)
    return Conv(name, maps, kernel, stride, padding, std)


BATCH_NORM = Architecture(
    "BATCH_NORM",
    image_sizes=(227,),
    towers=1,
    layers=(
        _keras_conv("conv1", 3, 96, kernel=11, stride=4),  # 55 x 55 x 96
        Relu(),
        BatchNorm(),
        MaxPool(),  # 27 x 27 x 96
        _keras_conv("conv2", 96, 256, kernel=5, padding=(2, 2)),  # 27 x 27 x 256
        Relu(),
        BatchNorm(),
        MaxPool(),  # 13 x 13 x 256
        _keras_conv("conv3", 256, 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
        Relu(),
        BatchNorm(),
        _keras_conv("conv4", 384, 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
        Relu(),
        BatchNorm(),
        _keras_conv("conv5", 384, 256, kernel=3, padding=(1, 1)),  # 13 x 13 x 256
        Relu(),
        BatchNorm(),
        MaxPool(),  # 6 x 6 x 256
        Flatten(),  # 9216
        Dense("fc6", 4096, std=_keras_std(9216, 4096)),
        Relu(),
        Dropout(inverted=True),
        Dense("fc7", 4096, std=_keras_std(4096, 4096)),
        Relu(),
        Dropout(inverted=True),
        Output("fc8", 5, std=_keras_std(4096, 5)),
    ),
)
"""A Keras notebook for five kinds of flowers, with batch normalization after every convolution.

58,307,333 parameters, of which 2,752 are running statistics.
"""


def _keras_tutorial(name: str, conv5: Conv, features: int) -> Architecture:
    return Architecture(
        name,
        image_sizes=(224,),
        towers=1,
        layers=(
            _keras_conv("conv1", 3, 96, kernel=11, stride=4, padding=(3, 4)),  # 56 x 56 x 96
            Relu(),
            BatchNorm(),
            MaxPool(),  # 27 x 27 x 96
            _keras_conv("conv2", 96, 256, kernel=5, padding=(2, 2)),  # 27 x 27 x 256
            Relu(),
            BatchNorm(),
            MaxPool(),  # 13 x 13 x 256
            _keras_conv("conv3", 256, 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
            Relu(),
            _keras_conv("conv4", 384, 384, kernel=3, padding=(1, 1)),  # 13 x 13 x 384
            Relu(),
            conv5,
            Relu(),
            BatchNorm(),
            MaxPool(),
            Flatten(),
            Dense("fc6", 4096, std=_keras_std(features, 4096)),
            Relu(),
            Dense("fc7", 4096, std=_keras_std(4096, 4096)),
            Relu(),
            Dropout(inverted=True),
            Output("fc8", 1000, std=_keras_std(4096, 1000)),
        ),
    )


KERAS_TUTORIAL = _keras_tutorial(
    "KERAS_TUTORIAL",
    conv5=_keras_conv("conv5", 384, 256, kernel=3, padding=(1, 1)),  # 13 x 13 x 256, then 6 x 6
    features=9216,
)
"""A Keras tutorial as in its text: three batch normalizations, one dropout.

62,380,776 parameters, of which 1,216 are running statistics.
"""

KERAS_FIFTH_11 = _keras_tutorial(
    "KERAS_FIFTH_11",
    conv5=_keras_conv("conv5", 384, 96, kernel=11, stride=4, padding=(5, 5)),  # 4 x 4 x 96, 1 x 1
    features=96,
)
"""The same tutorial's final code, whose fifth convolution is a copy of the first.

28,600,264 parameters, of which 896 are running statistics.
"""
