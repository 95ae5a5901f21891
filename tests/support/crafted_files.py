"""Files of weights that are hostile by design: what they claim, nest, repeat, refer to and name.

Each function returns a format, the content of the file, and files to put beside it.
"""

import json
import struct
import zlib

import numpy as np

from tests.support import matconvnet_files, weight_files
from tests.support.caffe_files import PROTO as CAFFE_PROTO
from tests.support.crafted_pickles import (
    NAMES,
    NUMBERS,
    numpy_pickle,
    pick,
    tar_file,
    torch_file,
    zip_file,
)
from tests.support.onnx_files import PROTO as ONNX_PROTO
from tests.support.protobufs import field


def json_value(rng, depth=3):
    match rng.integers(6 if depth else 4):
        case 0:
            return pick(rng, NUMBERS)
        case 1:
            return pick(rng, NAMES)
        case 2:
            return pick(rng, (None, True, 1e308, -0.5, float("nan")))
        case 3:
            return [1] * int(2 ** rng.uniform(0, 12))
        case 4:
            return [json_value(rng, depth - 1) for _ in range(int(rng.integers(4)))]
    return {pick(rng, NAMES): json_value(rng, depth - 1) for _ in range(int(rng.integers(4)))}


def safetensors_file(rng):
    """A header with wild entries, of torchvision's tensors or our own network."""
    kind = pick(rng, ("safetensors", "our own"))
    data = weight_files.FORMATS[kind].write(rng)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if kind == "our own" and rng.random() < 0.8:
        record = json.loads(header["__metadata__"]["alexnet_jax"])
        if rng.random() < 0.2:
            record["architecture"]["layers"] *= int(2 ** rng.uniform(0, 9))
            record["architecture"]["image_sizes"] *= int(2 ** rng.uniform(0, 9))
        target = record
        while isinstance(target, dict | list) and target and rng.random() < 0.8:
            keys = list(target) if isinstance(target, dict) else range(len(target))
            parent, last = target, pick(rng, list(keys))
            target = target[last]
        if target is not record:
            parent[last] = json_value(rng)
        header["__metadata__"]["alexnet_jax"] = json.dumps(record)
    elif rng.random() < 0.5:
        entry = header[pick(rng, [key for key in header if key != "__metadata__"])]
        entry[pick(rng, ("dtype", "shape", "data_offsets"))] = json_value(rng)
    else:
        entry = header[pick(rng, [key for key in header if key != "__metadata__"])]
        for i in range(int(2 ** rng.uniform(4, 14))):
            header[f"{pick(rng, NAMES)[:50]}{i}"] = entry
    text_ = json.dumps(header)
    if rng.random() < 0.1:
        text_ = "{" + '"a":[' * int(2 ** rng.uniform(4, 18))
    encoded = text_.encode("utf-8", "surrogatepass")
    return kind, struct.pack("<Q", len(encoded)) + encoded + data[8 + size :], {}


def element(kind, data):
    padding = b"" if kind == 15 else bytes(-len(data) % 8)
    return struct.pack("<II", kind, len(data)) + data + padding


def mat_array(rng, depth):
    """A MATLAB value with counts of its own choice."""
    kind = int(pick(rng, (1, 2, 4, 6, 7, 9, 3, 14)))
    sides = [pick(rng, (0, 1, 1, 2, 5, 2**31 - 1)) for _ in range(int(2 ** rng.uniform(0, 4)))]
    if rng.random() < 0.1:
        sides = [2**31 - 1] * int(2 ** rng.uniform(4, 16))
    parts = element(6, struct.pack("<II", kind, 0)) + element(5, np.array(sides, "<i4").tobytes())
    parts += element(1, pick(rng, NAMES).encode()[:3000])
    if kind == 2:
        width = pick(rng, (-5, 0, 1, 2, 64, 2**31 - 1))
        names = b"ab" * int(2 ** rng.uniform(0, 20))
        parts += element(5, struct.pack("<i", width)) + element(1, names)
    for _ in range(int(2 ** rng.uniform(0, 8)) if not depth else int(rng.integers(3))):
        parts += mat_array(rng, depth - 1) if depth else element(9, bytes(8))
    return element(14, parts)


def mat_file(rng):
    """A .mat with wild values, one that unpacks to too much, or with wild settings."""
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    match rng.integers(3):
        case 0:
            return "MATLAB 5", header + mat_array(rng, int(rng.integers(30))), {}
        case 1:
            inner = pick(rng, (bytes(8), element(6, b""), element(14, b""), b"ab"))
            inner = element(14, inner * int(2 ** rng.uniform(10, 21)))
            return "MATLAB 7", header + element(15, zlib.compress(inner, 9)), {}
    mat = matconvnet_files.variables(
        weight_files.other_programs.CAFFE, weight_files.arrays(rng), np.zeros(3), fc6_maps=4
    )
    mat["classes"] = {"description": [pick(rng, NAMES)[:99] for _ in range(3)]}
    wild = (1e300, -1.0, 0.0, 1e9, np.nan, np.inf, np.zeros((9, 9)), "text", np.zeros(0))
    for setting in ("border", "cropSize", "averageImage", "keepAspect", "interpolation"):
        if rng.random() < 0.5:
            mat["normalization"][setting] = pick(rng, wild)
    layer = pick(rng, mat["layers"])
    for setting in ("stride", "pad", "param", "pool", "leak", "type", "weights", "name"):
        if rng.random() < 0.2:
            layer[setting] = pick(rng, wild)
    data = weight_files.through_a_path(lambda path: matconvnet_files.version_5(path, mat))
    return "MATLAB 7", data, {}


def hdf5_file(rng):
    """A .mat of version 7.3 with many objects, references in circles, or claims of size."""
    import h5py

    def write(path):
        with h5py.File(path, "w", userblock_size=512) as file:
            match rng.integers(4):
                case 0:
                    sides = [int(2 ** rng.uniform(0, 30)) for _ in range(2)]
                    file.create_dataset("layers", sides, "f4", chunks=(1, 1), fillvalue=1)
                case 1:
                    cells = file.create_dataset("layers", (2, 2), h5py.ref_dtype)
                    for i in np.ndindex(2, 2):
                        cells[i] = cells.ref
                    cells.attrs["MATLAB_class"] = np.bytes_("cell")
                case 2:
                    for i in range(int(2 ** rng.uniform(2, 9))):
                        file.create_group(f"layers/{pick(rng, NAMES[1:2])}{i}")
                case 3:
                    file["layers"] = h5py.SoftLink("/layers")
                    file.create_dataset("other", data=np.array([b"x" * 99]), dtype="S99")
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(512))

    return "MATLAB 7.3", weight_files.through_a_path(write), {}


def caffe_file(rng):
    """A network with a field, a shape or a name repeated or made large."""
    proto = weight_files.caffe_model(rng)
    layer = pick(rng, [layer for layer in proto.layer if layer.blobs])
    count = int(2 ** rng.uniform(4, 17))
    match rng.integers(6):
        case 0:
            layer.blobs[0].shape.dim.extend([pick(rng, NUMBERS[:11])] * count)
        case 1:
            layer.name = pick(rng, NAMES)
            layer.type = pick(rng, (*NAMES, "Convolution"))
        case 2:
            layer.convolution_param.stride.extend([1] * count)
        case 3:
            proto.layer.extend([layer] * int(2 ** rng.uniform(2, 9)))
        case 4:
            blob = field(7, (b"\x2d" + bytes(4)) * count)  # numbers, each a field of its own
            content = proto.SerializeToString()
            return "Caffe", content + field(100, layer.SerializeToString() + blob), {}
        case 5:
            norm = CAFFE_PROTO["LRNParameter"]
            for one in proto.layer:
                if one.type == "LRN":
                    one.lrn_param.CopyFrom(norm(local_size=2**31 + 1, alpha=np.inf, beta=np.nan))
    return "Caffe", proto.SerializeToString(), {}


def onnx_file(rng):
    """A model that refers to files elsewhere, shares or repeats arrays, or has wild settings."""
    proto, data = weight_files.onnx_with_data(rng)
    tensor = pick(rng, proto.graph.initializer)
    count = int(2 ** rng.uniform(4, 12))
    match rng.integers(6):
        case 0:
            entry = pick(rng, tensor.external_data)
            entry.value = str(pick(rng, (*NUMBERS, *NAMES, "/etc/passwd", "..", ".", "net.data/")))
        case 1:
            del tensor.external_data[:]
        case 2:
            node = pick(rng, [node for node in proto.graph.node if node.op_type == "Conv"])
            for _ in range(count):
                proto.graph.node.add(op_type="Conv", input=[*node.input], output=[*node.input[:1]])
        case 3:
            tensor.dims.extend([pick(rng, NUMBERS[:11])] * count)
        case 4:
            node = pick(rng, proto.graph.node)
            node.name, node.op_type = pick(rng, NAMES), pick(rng, (*NAMES, node.op_type))
            for i in range(count):
                node.attribute.add(name=f"pads{i}", ints=[1] * int(rng.integers(20)))
        case 5:
            tensor.ClearField("data_location")
            tensor.float_data.extend([1.0] * count)
            graph = ONNX_PROTO["GraphProto"]
            proto.graph.MergeFrom(graph(name=pick(rng, NAMES)))
    return "ONNX with data", proto.SerializeToString(), {"net.data": data}


def npy_file(rng):
    """A .npy whose header claims another shape, type or length."""
    shape = tuple(pick(rng, NUMBERS) for _ in range(int(rng.integers(0, 40))))
    kind = pick(rng, ("<f4", "|O", "<U99999999", "|V2147483647", "<f8", "(9999999,)f4", "M8", "x"))
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape!r}, }}"
    if rng.random() < 0.2:
        header = pick(rng, ("(" * 5000, "-" * 9000 + "1", "9" * 9000, "{" + "'a':1," * 1500))
    encoded = header.encode().ljust(64) + b"\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + bytes(972)
    return pick(rng, ("mean npy", "Toronto, Python 3")), data, {}


KINDS = (torch_file, torch_file, numpy_pickle, numpy_pickle, zip_file, tar_file, safetensors_file)
KINDS += (mat_file, mat_file, hdf5_file, caffe_file, onnx_file, npy_file)


def craft(rng):
    """Return a format, the content of a hostile file, and the files beside it."""
    return pick(rng, KINDS)(rng)
