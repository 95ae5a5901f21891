"""Networks against the tables that notebooks print, line by line."""

import pytest

from alexnet_jax import architectures
from alexnet_jax.layer_specs import Conv, Dense, Dropout, Flatten, MaxPool, Output, ResponseNorm

# A notebook's layer list, for images of 224 pixels: input, number and size of the kernels, output,
# stride. It is the paper's: kernels of conv2, conv4 and conv5 see the maps of one tower.
CONVOLUTIONS = [
    ((224, 224, 3), 96, (11, 11, 3), (55, 55, 96), 4),
    ((27, 27, 96), 256, (5, 5, 48), (27, 27, 256), 1),
    ((13, 13, 256), 384, (3, 3, 256), (13, 13, 384), 1),
    ((13, 13, 384), 384, (3, 3, 192), (13, 13, 384), 1),
    ((13, 13, 384), 256, (3, 3, 192), (13, 13, 256), 1),
]
LAST_MAPS = (6, 6, 256)
NEURONS = [(9216, 4096), (4096, 4096), (4096, 1000)]  # input, neurons


def test_paper_is_the_layer_list_of_a_notebooks_text():
    infos = architectures.PAPER.layer_info(224)
    convolutions = [info for info in infos if isinstance(info.spec, Conv)]
    assert [
        (
            info.input_shape,
            info.weight_shape[3],
            info.weight_shape[:3],
            info.output_shape,
            info.spec.stride,
        )
        for info in convolutions
    ] == CONVOLUTIONS
    assert [info.input_shape for info in infos if isinstance(info.spec, Flatten)] == [LAST_MAPS]
    dense = [info for info in infos if isinstance(info.spec, Dense | Output)]
    assert [(*info.input_shape, *info.output_shape) for info in dense] == NEURONS


# The modules of the same notebook's PyTorch code, in the order in which its forward calls them.
MODULES = [
    ("Conv2d", 3, 96, {"kernel_size": 11, "stride": 4, "padding": 0}),
    ("ReLU",),
    ("LocalResponseNorm", {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2}),
    ("Conv2d", 96, 256, {"kernel_size": 5, "stride": 1, "padding": 2}),
    ("ReLU",),
    ("LocalResponseNorm", {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2}),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2}),
    ("Conv2d", 256, 384, {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("ReLU",),
    ("Conv2d", 384, 384, {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("ReLU",),
    ("Conv2d", 384, 256, {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("ReLU",),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2}),
    ("Flatten",),
    ("Linear", 6 * 6 * 256, 4096),
    ("ReLU",),
    ("Dropout",),
    ("Linear", 4096, 4096),
    ("ReLU",),
    ("Dropout",),
    ("Linear", 4096, 1000),
]


def module(info):
    """Return the PyTorch module that computes a layer, as an entry of MODULES."""
    match info.spec:
        case Conv(kernel=kernel, stride=stride, padding=padding):
            # Padding that no kernel reaches counts as none: that of conv1, on 227 pixels.
            padding_used = (
                stride * (info.output_shape[0] - 1) + kernel - padding[0] - info.input_shape[0]
            )
            assert padding_used <= 0 or padding_used == padding[1]
            sizes = {
                "kernel_size": kernel,
                "stride": stride,
                "padding": max(padding[0], padding_used),
            }
            return "Conv2d", info.weight_shape[2], info.weight_shape[3], sizes
        case ResponseNorm(n, k, alpha, beta, divide_alpha_by_n=True):  # as PyTorch's does
            return "LocalResponseNorm", {"size": n, "alpha": alpha, "beta": beta, "k": k}
        case MaxPool(size, stride, padding=(0, 0)):
            return "MaxPool2d", {"kernel_size": size, "stride": stride}
        case Dense() | Output():
            return "Linear", *info.weight_shape
        case Dropout(inverted=True):  # as PyTorch's is
            return ("Dropout",)
        case other:
            return ({"Relu": "ReLU", "Flatten": "Flatten"}[type(other).__name__],)


def test_single_tower_is_the_module_list_of_a_notebooks_code():
    infos = architectures.SINGLE_TOWER.layer_info(227)
    assert [module(info) for info in infos] == MODULES
    for info, (kind, *sizes) in zip(infos, MODULES):
        if kind in ("Conv2d", "Linear"):
            inputs, outputs = sizes[0], sizes[1]
            kernel = sizes[2]["kernel_size"] if kind == "Conv2d" else 1
            assert info.parameters == inputs * outputs * kernel**2 + outputs


# Keras's summary of a network: type, output shape, parameters. "+relu" marks a layer that has its
# activation as an argument, so the activation has no line of its own.
KERAS_TABLES = {
    "KERAS_STRIDE_4": """
        Conv2D              56 56 96    34944
        Lambda              56 56 96    0
        Activation          56 56 96    0
        MaxPooling2D        27 27 96    0
        Conv2D              7 7 256     614656
        Lambda              7 7 256     0
        Activation          7 7 256     0
        MaxPooling2D        3 3 256     0
        Conv2D              1 1 384     885120
        Activation          1 1 384     0
        Conv2D              1 1 384     1327488
        Activation          1 1 384     0
        Conv2D              1 1 256     884992
        Activation          1 1 256     0
        Flatten             256         0
        Dense+relu          4096        1052672
        Dropout             4096        0
        Dense+relu          4096        16781312
        Dropout             4096        0
        Dense               10          40970
    """,
    "KERAS_FIFTH_11": """
        Conv2D+relu         56 56 96    34944
        BatchNormalization  56 56 96    384
        MaxPooling2D        27 27 96    0
        Conv2D+relu         27 27 256   614656
        BatchNormalization  27 27 256   1024
        MaxPooling2D        13 13 256   0
        Conv2D+relu         13 13 384   885120
        Conv2D+relu         13 13 384   1327488
        Conv2D+relu         4 4 96      4460640
        BatchNormalization  4 4 96      384
        MaxPooling2D        1 1 96      0
        Flatten             96          0
        Dense+relu          4096        397312
        Dense+relu          4096        16781312
        Dropout             4096        0
        Dense               1000        4097000
    """,
}
KERAS_NAMES = {
    "Conv": "Conv2D",
    "ResponseNorm": "Lambda",
    "BatchNorm": "BatchNormalization",
    "Relu": "Activation",
    "MaxPool": "MaxPooling2D",
    "Flatten": "Flatten",
    "Dense": "Dense",
    "Output": "Dense",
    "Dropout": "Dropout",
}


def lines(table):
    """Yield (type, output shape, parameters) of a printed table, a line for each activation."""
    for line in table.strip().splitlines():
        kind, *shape, parameters = line.split()
        shape = tuple(map(int, shape))
        yield kind.removesuffix("+relu"), shape, int(parameters)
        if kind.endswith("+relu"):
            yield "Activation", shape, 0


@pytest.mark.parametrize("name", KERAS_TABLES)
def test_a_keras_net_is_the_summary_that_its_notebook_prints(name):
    infos = architectures.by_name(name).layer_info()
    assert infos[0].input_shape == (224, 224, 3)
    ours = [
        (KERAS_NAMES[type(info.spec).__name__], info.output_shape, info.parameters)
        for info in infos
    ]
    assert ours == list(lines(KERAS_TABLES[name]))
