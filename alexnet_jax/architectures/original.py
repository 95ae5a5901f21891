"""The networks of the original program of 2012, which the Computer History Museum published.

Each is a file `layers/layers-NUMBER.cfg` there; the numbers are the authors'. ORIGINAL is the one
whose logged errors are the paper's. The others are the comparisons in the paper's text, and two
that it does not print: ORIGINAL_PLAIN_CONV2 and NO_COMMUNICATION. ORIGINAL differs from the text in
four points, and so do the others except where their comments say otherwise:

- conv1 and conv5 have their ReLU after the pooling, so that the first normalization sees negative
  sums, too;
- a normalization of each map by its own neighborhood follows the second response normalization;
- alpha is divided by n;
- the kernels of conv3, conv4 and conv5 start from N(0, 0.03^2).
"""

from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    LayerSpec,
    MaxPool,
    Output,
    Relu,
    ResponseNorm,
    SpatialNorm,
)

# The program reads 224 pixels and lets conv1 run three past the bottom and right edges, where it
# sees zeros. On 227 pixels the same padding is never touched.
SIZES = (224, 227)
NORM = ResponseNorm(divide_alpha_by_n=True)
# Layers that the networks below share, in their order.
FIRST: tuple[LayerSpec, ...] = (
    Conv("conv1", 96, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 96
    NORM,
    MaxPool(),  # 27 x 27 x 96
    Relu(),
)
LAST_MAPS: tuple[LayerSpec, ...] = (
    Conv("conv3", 384, kernel=3, padding=(1, 1), std=0.03),  # 13 x 13 x 384
    Relu(),
    Conv("conv4", 384, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 384
    Relu(),
    Conv("conv5", 256, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 256
    MaxPool(),  # 6 x 6 x 256
    Relu(),
)
HEAD: tuple[LayerSpec, ...] = (  # after the last maps, which both towers see
    Gather(),
    Flatten(),
    Dense("fc6", 4096, bias=1),
    Relu(),
    Dropout(),
    Gather(),
    Dense("fc7", 4096, bias=1),
    Relu(),
    Dropout(),
    Output("fc8", 1000),
)

ORIGINAL = Architecture(
    "ORIGINAL",
    SIZES,
    towers=2,
    layers=(
        *FIRST,
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 256
        Relu(),
        NORM,
        SpatialNorm(),
        MaxPool(),  # 13 x 13 x 256
        Gather(),
        *LAST_MAPS,
        *HEAD,
    ),
)
"""Net 145, the paper's: 60,965,224 parameters. Its log has the errors of Table 2, "1 CNN"."""

ORIGINAL_PLAIN_CONV2 = Architecture(
    "ORIGINAL_PLAIN_CONV2",
    SIZES,
    towers=2,
    layers=(
        *FIRST,
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 256
        Relu(),
        MaxPool(),  # 13 x 13 x 256
        Gather(),
        *LAST_MAPS,
        *HEAD,
    ),
)
"""Net 167: 145 without both normalizations over conv2, as good or better. 60,965,224 parameters."""

ONE_GPU = Architecture(
    "ONE_GPU",
    SIZES,
    towers=1,
    layers=(
        Conv("conv1", 48, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 48
        NORM,
        MaxPool(),  # 27 x 27 x 48
        Relu(),
        Conv("conv2", 128, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 128
        Relu(),
        NORM,
        SpatialNorm(),
        MaxPool(),  # 13 x 13 x 128
        Conv("conv3", 192, kernel=3, padding=(1, 1), std=0.03),  # 13 x 13 x 192
        Relu(),
        Conv("conv4", 192, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 192
        Relu(),
        Conv("conv5", 256, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 256
        MaxPool(),  # 6 x 6 x 256
        Relu(),
        *HEAD,  # one tower: its Gather changes nothing
    ),
)
"""Net 145-half, section 3.2: half the kernels of each convolution but the last, on one GPU.

59,798,312 parameters. Section 3.2 compares: two GPUs have 1.7 and 1.2 % less top-1 and top-5 error.
"""

NON_OVERLAPPING_POOL = Architecture(
    "NON_OVERLAPPING_POOL",
    SIZES,
    towers=2,
    layers=(
        Conv("conv1", 96, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 96
        NORM,
        MaxPool(
            2, 2, padding=(0, 1)
        ),  # 28 x 28 x 96: the program's last window reaches past the edge
        Relu(),
        Conv("conv2", 256, kernel=5, padding=(1, 1), bias=1),  # 26 x 26 x 256
        Relu(),
        NORM,
        SpatialNorm(),
        MaxPool(2, 2),  # 13 x 13 x 256
        Gather(),
        Conv("conv3", 384, kernel=3, padding=(1, 1), std=0.03),  # 13 x 13 x 384
        Relu(),
        Conv("conv4", 384, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 13 x 13 x 384
        Relu(),
        Conv("conv5", 256, kernel=3, std=0.03, bias=1),  # 11 x 11 x 256
        MaxPool(2, 2, padding=(0, 1)),  # 6 x 6 x 256
        Relu(),
        *HEAD,
    ),
)
"""Net 147, section 3.4: s = z = 2. Its padding brings the maps to the sizes of 145's.

60,965,224 parameters; 0.4 and 0.3 % worse.
"""

NO_NORM = Architecture(
    "NO_NORM",
    SIZES,
    towers=2,
    layers=(
        Conv("conv1", 96, kernel=11, stride=4, padding=(0, 3)),  # 55 x 55 x 96
        MaxPool(),  # 27 x 27 x 96
        Relu(),
        Conv("conv2", 256, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 256
        Relu(),
        MaxPool(),  # 13 x 13 x 256
        Gather(),
        *LAST_MAPS,
        *HEAD,
    ),
)
"""Net 148, section 3.3: none of the three norms. 60,965,224 parameters; 1.4 and 1.2 % worse."""

NO_COMMUNICATION = Architecture(
    "NO_COMMUNICATION",
    SIZES,
    towers=2,
    layers=(
        *FIRST,
        Conv("conv2", 320, kernel=5, padding=(2, 2), bias=1),  # 27 x 27 x 320
        Relu(),
        NORM,
        SpatialNorm(),
        MaxPool(),  # 13 x 13 x 320
        *LAST_MAPS,
        Flatten(),  # 4608 of each tower
        Dense("fc6", 8192, bias=1),
        Relu(),
        Dropout(),
        Dense("fc7", 4096, bias=1),
        Relu(),
        Dropout(),
        Output("fc8", 1000),
    ),
)
"""Net 150: two towers that meet only in the sum of the logits. 60,714,408 parameters.

conv2 and fc6 are wider, and each tower sees only its own maps; 1.2 and 1.1 % worse than 145. The
widths of conv3, conv4 and conv5 are 145's: the note on 150 names no others.
"""

SIX_CONV = Architecture(
    "SIX_CONV",
    SIZES,
    towers=2,
    layers=(
        *ORIGINAL.layers[: -len(HEAD)],  # to the ReLU after the last pooling, 6 x 6 x 256
        Gather(),
        Conv("conv6", 256, kernel=3, padding=(1, 1), std=0.03, bias=1),  # 6 x 6 x 256
        Relu(),
        Gather(),
        Flatten(),
        Dense("fc7", 4096, bias=1),
        Relu(),
        Dropout(),
        Gather(),
        Dense("fc8", 4096, bias=1),
        Relu(),
        Dropout(),
        Output("fc9", 1000),
    ),
)
"""Net 146, section 6: a sixth convolution over the last pooling, pre-trained on all of ImageNet.

61,555,304 parameters with the 1,000 classes that it is tuned to in the end.
"""
