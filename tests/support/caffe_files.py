"""Caffe's files, written by the protobuf library from a schema of their own."""

import numpy as np

from tests.support import other_programs
from tests.support.protobufs import messages

SCHEMA = {  # as in caffe.proto
    "BlobShape": {"dim": "1 int64+"},
    "BlobProto": {
        "num": "1 int32",
        "channels": "2 int32",
        "height": "3 int32",
        "width": "4 int32",
        "data": "5 float+",
        "diff": "6 float+",
        "shape": "7 BlobShape",
        "double_data": "8 double+",
    },
    "ConvolutionParameter": {
        "num_output": "1 uint32",
        "pad": "3 uint32*",
        "kernel_size": "4 uint32*",
        "group": "5 uint32",
        "stride": "6 uint32*",
        "dilation": "18 uint32*",
    },
    "LRNParameter": {
        "local_size": "1 uint32",
        "alpha": "2 float",
        "beta": "3 float",
        "norm_region": "4 int32",
        "k": "5 float",
    },
    "PoolingParameter": {"pool": "1 int32", "kernel_size": "2 uint32", "stride": "3 uint32"},
    "InnerProductParameter": {"num_output": "1 uint32", "transpose": "6 bool"},
    "ReLUParameter": {"negative_slope": "1 float"},
    "LayerParameter": {
        "name": "1 string",
        "type": "2 string",
        "bottom": "3 string*",
        "top": "4 string*",
        "blobs": "7 BlobProto*",
        "convolution_param": "106 ConvolutionParameter",
        "inner_product_param": "117 InnerProductParameter",
        "lrn_param": "118 LRNParameter",
        "pooling_param": "121 PoolingParameter",
        "relu_param": "123 ReLUParameter",
    },
    "V1LayerParameter": {
        "layer": "1 BlobShape",
        "bottom": "2 string*",
        "top": "3 string*",
        "name": "4 string",
        "type": "5 int32",
        "blobs": "6 BlobProto*",
        "blobs_lr": "7 float*",
        "convolution_param": "10 ConvolutionParameter",
        "inner_product_param": "17 InnerProductParameter",
        "lrn_param": "18 LRNParameter",
        "pooling_param": "19 PoolingParameter",
        "relu_param": "30 ReLUParameter",
    },
    "NetParameter": {
        "name": "1 string",
        "layers": "2 V1LayerParameter*",
        "input": "3 string*",
        "input_dim": "4 int32*",
        "layer": "100 LayerParameter*",
    },
}
OLD_TYPES = {"Convolution": 4, "Data": 5, "Dropout": 6, "InnerProduct": 14, "LRN": 15}
OLD_TYPES |= {"Pooling": 17, "ReLU": 18, "Softmax": 20, "TanH": 23}
PROTO = messages(SCHEMA)


def blob(array, old):
    data = PROTO["BlobProto"](data=np.ravel(array))
    if old:  # the old format always has four numbers
        shape = (1,) * (4 - array.ndim) + array.shape
        data.num, data.channels, data.height, data.width = shape
    else:
        data.shape.dim.extend(array.shape)
    return data


def model(net, arrays, old):
    """A network as a NetParameter. `old`: V1 `layers` and shapes of four numbers; else `layer`."""
    proto = PROTO["NetParameter"](name="AlexNet", input=["data"], input_dim=[10, 3, 227, 227])
    layers = proto.layers if old else proto.layer

    def add(name, kind):
        return layers.add(name=name, type=OLD_TYPES[kind] if old else kind)

    add("data", "Data")
    number = 0
    for name in net.split():
        if name in arrays:
            number += 1
            convolution = name.startswith("conv")
            layer = add(name, "Convolution" if convolution else "InnerProduct")
            layer.blobs.extend(blob(array, old) for array in arrays[name])
            if convolution:
                settings = layer.convolution_param
                settings.num_output = len(arrays[name][0])
                settings.kernel_size.append(arrays[name][0].shape[-1])
                settings.group = other_programs.GROUPS.get(name, 1)
                if other_programs.PADDING[name]:
                    settings.pad.append(other_programs.PADDING[name])
                if name == "conv1":
                    settings.stride.append(4)
        elif name == "relu":
            add(f"relu{number}", "ReLU")
        elif name == "pool":
            settings = add(f"pool{number}", "Pooling").pooling_param
            settings.kernel_size, settings.stride = 3, 2
        else:
            settings = add(f"norm{number}", "LRN").lrn_param
            settings.local_size, settings.alpha, settings.beta = 5, 1e-4, 0.75
    add("drop7", "Dropout")
    add("prob", "Softmax")
    return proto
