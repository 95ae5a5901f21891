"""Checkpoints of cuda-convnet at a sixteenth of its widths, pickled as by Python 2."""

import struct

import numpy as np

from tests.support import pickled


class Layers(dict):
    """Layers by name, with the program's own fields. A neuron can follow a layer."""

    def __init__(self):
        super().__init__({name: {"name": name, "type": "data"} for name in ("data", "labels")})
        self.rng = np.random.default_rng(8)

    def add(self, name, kind, inputs, neuron=False, **fields):
        self[name] = {"name": name, "type": kind, "inputs": inputs.split(), **fields}
        if neuron:
            relu = {"type": "relu", "params": {}}
            key = f"{name}_neuron"
            self[key] = {"name": key, "type": "neuron", "inputs": [name], "neuron": relu}

    def matrices(self, rows, columns, scale, order):
        return [np.asarray(scale * self.rng.normal(size=(n, columns)), "f4", order) for n in rows]

    def conv(self, name, inputs, channels, filters, size, pixels, windows, pad, stride=1, **more):
        rows = [c * size**2 for c in channels]
        scale = (2 / sum(rows)) ** 0.5 / (70 if "data" in inputs else 1)
        fields = {"filterSize": [size] * len(rows), "stride": [stride] * len(rows)}
        fields |= {"padding": [-pad] * len(rows), "imgSize": [pixels] * len(rows)}
        fields |= {"channels": channels, "groups": [1] * len(rows), "modulesX": windows}
        fields["weights"] = self.matrices(rows, filters, scale, "C")
        fields["biases"] = np.float32(0.1 * self.rng.normal(size=(filters, 1)))
        self.add(name, "conv", inputs, sharedBiases=True, **fields, **more)

    def pool(self, name, inputs, pixels, windows, **more):
        fields = {"pool": "max", "sizeX": 3, "stride": 2, "start": 0}
        self.add(name, "pool", inputs, imgSize=pixels, outputsX=windows, **fields, **more)

    def norm(self, name, inputs, kind="cmrnorm", size=5, scale=1e-4 / 5, k=2.0, **more):
        fields = {"size": size, "scale": scale, "pow": 0.75, "minDiv": k, "blocked": False}
        self.add(name, kind, inputs, **fields, **more)

    def fc(self, name, inputs, rows, outputs, **more):
        matrices = self.matrices(rows, outputs, (2 / sum(rows)) ** 0.5, "F")
        biases = np.float32(0.1 * self.rng.normal(size=(1, outputs)))
        self.add(name, "fc", inputs, weights=matrices, biases=biases, **more)


def original():
    """Net 145 at a sixteenth of its widths: two towers, of which b lists its own input first."""
    net = Layers()
    for t in "ab":
        net.conv(f"conv1{t}", "data", [3], 3, 11, 224, 55, 0, 4)
    for t in "ab":
        net.norm(f"rnorm1{t}", f"conv1{t}")
        net.pool(f"pool1{t}", f"rnorm1{t}", 55, 27, neuron=True)
        net.conv(f"conv2{t}", f"pool1{t}_neuron", [3], 8, 5, 27, 27, 2, neuron=True)
        net.norm(f"rnorm2{t}", f"conv2{t}_neuron")
        net.norm(f"cnorm2{t}", f"rnorm2{t}", "rnorm", 5, 1e-3 / 25, 1.0)
        net.pool(f"pool2{t}", f"cnorm2{t}", 27, 13)
    for t in "ab":
        net.conv(f"conv3{t}", "pool2a pool2b", [8, 8], 12, 3, 13, 13, 1, neuron=True)
        net.conv(f"conv4{t}", f"conv3{t}_neuron", [12], 12, 3, 13, 13, 1, neuron=True)
        net.conv(f"conv5{t}", f"conv4{t}_neuron", [12], 8, 3, 13, 13, 1)
        net.pool(f"pool3{t}", f"conv5{t}", 13, 6, neuron=True)
    for t in "ab":
        net.fc(f"fc2048{t}", "pool3a_neuron pool3b_neuron", [288, 288], 16, neuron=True)
        net.add(f"hs1{t}", "hs", f"fc2048{t}_neuron", keep=0.5, enable=True)
    for t, inputs in (("a", "hs1a hs1b"), ("b", "hs1b hs1a")):
        net.fc(f"fc2048b{t}", inputs, [16, 16], 16, neuron=True)
        net.add(f"hs2{t}", "hs", f"fc2048b{t}_neuron", keep=0.5, enable=True)
    net.fc("fc1000", "hs2a hs2b", [16, 16], 7)
    return add_cost(net)


def one_weird_trick():
    net = Layers()
    net.conv("conv1", "data", [3], 4, 11, 224, 55, 0, 4)
    net.norm("rnorm1", "conv1")
    net.pool("pool1", "rnorm1", 55, 27, neuron=True)
    net.conv("conv2", "pool1_neuron", [4], 12, 5, 27, 27, 2, neuron=True)
    net.norm("rnorm2", "conv2_neuron")
    net.pool("pool2", "rnorm2", 27, 13)
    net.conv("conv3", "pool2", [12], 24, 3, 13, 13, 1, neuron=True)
    net.conv("conv4", "conv3_neuron", [24], 16, 3, 13, 13, 1, neuron=True)
    net.conv("conv5", "conv4_neuron", [16], 16, 3, 13, 13, 1)
    net.pool("pool3", "conv5", 13, 6, neuron=True)
    net.fc("fc4096a", "pool3_neuron", [576], 32, neuron=True)
    net.add("dropout1", "dropout2", "fc4096a_neuron", keep=0.5)
    net.fc("fc4096b", "dropout1", [32], 32, neuron=True)
    net.add("dropout2", "dropout2", "fc4096b_neuron", keep=0.5)
    net.fc("fc1000", "dropout2", [32], 7)
    return add_cost(net)


def add_cost(net):
    net.add("probs", "softmax", "fc1000")
    net.add("logprob", "cost.logreg", "labels probs")
    return net


def operations(value):
    """The pickle operations of a value, as Python 2 wrote them."""
    match value:
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return pickled.number(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return pickled.old_text(value.encode())
        case list():
            return pickled.listed(*map(operations, value))
        case dict():
            return pickled.dictionary((operations(k), operations(v)) for k, v in value.items())
    return pickled.old_numpy(value)


# An instance of an old-style class with a state, and a NumPy scalar, both as in real checkpoints.
OPTIONS = b"(" + pickled.name("options.OptionsParser") + b"o" + operations({"gpu": [0, 1]}) + b"b"
SCALAR = pickled.name("numpy.core.multiarray.scalar") + pickled.row(b"N", b"N") + pickled.CALL


def checkpoint(layers):
    state = pickled.dictionary(
        [
            (operations("train_outputs"), pickled.listed(SCALAR)),
            (operations("epoch"), operations(90)),
            (operations("layers"), layers),
        ]
    )
    pairs = [(operations("op"), OPTIONS), (operations("model_state"), state)]
    return pickled.program(pickled.dictionary(pairs))


def checkpoint_of_2012(net):
    """A checkpoint with a list of layers, which refer to their inputs by index."""
    indices = {name: index for index, name in enumerate(net)}
    return checkpoint(
        operations(
            [
                layer | {"inputs": [indices[name] for name in layer.get("inputs", [])]}
                for layer in net.values()
            ]
        )
    )


def checkpoint_of_2014(net):
    """A checkpoint with an ordered dictionary of layers, in which neurons come last."""
    layers = sorted(net.values(), key=lambda layer: layer["type"] == "neuron")
    pairs = [b"](" + operations(layer["name"]) + operations(layer) + b"e" for layer in layers]
    ordered = pickled.name("collections.OrderedDict")
    return checkpoint(ordered + pickled.row(pickled.listed(*pairs)) + pickled.CALL)
