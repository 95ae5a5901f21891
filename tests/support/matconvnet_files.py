"""MatConvNet's files, written by SciPy as by its importer, and by h5py as by MATLAB 7.3."""

import numpy as np
import scipy.io

from tests.support import other_programs

NAMES = ["tench", "goldfish", "shark", "ray", "cock", "hen", "ostrich"]


def importer_axes(name, kernels, fc6_maps):
    """Transpose Caffe's array as the importer does: [row, column, in, out], red first."""
    if name == "fc6":
        kernels = kernels.reshape(-1, fc6_maps, 6, 6)
    if kernels.ndim == 2:
        kernels = kernels[:, :, None, None]
    kernels = kernels.transpose(2, 3, 1, 0)
    return kernels[:, :, ::-1] if name == "conv1" else kernels


def cell(*values):
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


def make_layers(net, arrays, fc6_maps):
    layers, number = [], 0
    for token in net.split():
        if token in arrays:
            number += 1
            kernels, biases = arrays[token]
            pair = cell(importer_axes(token, kernels, fc6_maps), biases.reshape(1, -1))
            stride = 4.0 if token == "conv1" else 1.0
            pad = [float(other_programs.PADDING.get(token, 0))] * 4
            layer = {"type": "conv", "weights": pair, "stride": [stride] * 2, "pad": pad}
        elif token == "relu":
            layer = {"type": "relu"}
        elif token == "norm":
            layer = {"type": "normalize", "param": np.array([[5, 1, 1e-4 / 5, 0.75]])}
        else:
            layer = {"type": "pool", "method": "max", "pool": [3.0, 3.0], "stride": [2.0, 2.0]}
            layer["pad"] = [0.0, 1.0, 0.0, 1.0]  # none at 227 pixels
        name = token if token in arrays else f"{token}{number}"
        layers.append({"name": name} | layer)
    return [*layers, {"name": "prob", "type": "softmax"}]


def variables(net, arrays, mean, fc6_maps=16):
    return {
        "layers": make_layers(net, arrays, fc6_maps),
        "normalization": {
            "imageSize": [227.0, 227.0, 3.0],
            "averageImage": mean,
            "interpolation": "bicubic",
            "keepAspect": False,
            "border": [29.0, 29.0],
        },
        "classes": {"name": [f"n{i:08}" for i in range(7)], "description": NAMES},
    }


def version_5(path, mat, *, compressed=True):
    """Write a file as the importer does: lists of names and of layers are cells."""
    mat = mat | {"layers": cell(*mat["layers"])}
    mat["classes"] = {key: cell(*names) for key, names in mat["classes"].items()}
    scipy.io.savemat(path, mat, oned_as="row", do_compression=compressed)


def version_7_3(path, mat):
    """Write a file as MATLAB 7.3 does: HDF5 with references for cells."""
    import h5py

    def add(group, name, value):
        if isinstance(value, dict):
            node = group.create_group(name)
            for key, item in value.items():
                add(node, key, item)
            kind = "struct"
        elif isinstance(value, str):
            node = group.create_dataset(name, data=np.array([[ord(c)] for c in value], "u2"))
            kind = "char"
        elif isinstance(value, list) and not isinstance(value[0], float):
            references = []
            for item in value:
                key = f"r{len(file['#refs#'])}"
                add(file["#refs#"], key, item)
                references.append(file["#refs#"][key].ref)
            node = group.create_dataset(name, (len(references), 1), h5py.ref_dtype)
            node[:, 0] = references
            kind = "cell"
        else:
            array = np.atleast_2d(np.asarray(value, "f4"))
            node = group.create_dataset(name, data=array.T)
            kind = "single"
        node.attrs["MATLAB_class"] = np.bytes_(kind)

    layers = [
        {key: list(v[0]) if key == "weights" else v for key, v in layer.items()}
        for layer in mat["layers"]
    ]
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("#refs#")
        for name, value in (mat | {"layers": layers}).items():
            add(file, name, value)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))
