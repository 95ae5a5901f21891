"""torchvision.models.alexnet: its published files, and all others with the same names in them."""

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.layer_specs import Dense, Dropout, LayerSpec, Relu
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files.safetensors_file import Readers
from alexnet_jax.weights.loaded import LoadedWeights, fitted, params_of, with_classes

PREPROCESSING = Preprocessing(
    stored_size=256,
    input_size=224,
    scale=1 / 255,
    mean=np.array([0.485, 0.456, 0.406]),
    std=(0.229, 0.224, 0.225),
)
"""As its documentation has it, with Pillow's linear resizing."""

CONVOLUTIONS = {f"conv{i + 1}": f"features.{number}" for i, number in enumerate((0, 3, 6, 8, 10))}
BEFORE = {"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6"}
BEHIND = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}


def read_weights(tensors: Readers, architecture: Architecture | None) -> LoadedWeights:
    """Return what tensors by torchvision's names make.

    Names may have parts "module", as nn.DataParallel adds them. Where dropout stands behind fc6
    and fc7 instead of before them, as in the paper, their numbers differ, and so does the net.

    Args:
      tensors: how to read each, by its name.
      architecture: with layers of the same names, if it is not torchvision's own.

    Raises:
      ValueError: other tensors than these, or of another shape.
    """
    plain = {".".join(p for p in name.split(".") if p != "module"): name for name in tensors}
    behind = "classifier.0.weight" in plain
    names = CONVOLUTIONS | (BEHIND if behind else BEFORE)
    wanted = {layer: (f"{name}.weight", f"{name}.bias") for layer, name in names.items()}
    for layer, pair in wanted.items():
        if missing := [name for name in pair if name not in plain]:
            raise ValueError(f"{missing[0]} is missing, of {layer}")
    if others := plain.keys() - {name for pair in wanted.values() for name in pair}:
        raise ValueError(f"it has {min(others)}, which torchvision's AlexNet has not")
    arrays = {layer: (tensors[plain[w]](), tensors[plain[b]]()) for layer, (w, b) in wanted.items()}
    net = architecture or with_classes(_dropout_behind() if behind else TORCHVISION, arrays)
    params = params_of(net, arrays, outputs_first=True)
    return LoadedWeights("torchvision's", params, net, fitted(PREPROCESSING, net))


def _dropout_behind() -> Architecture:
    layers: list[LayerSpec] = []
    for layer in TORCHVISION.layers:
        if not isinstance(layer, Dropout):
            layers.append(layer)
        if isinstance(layer, Relu) and isinstance(layers[-2], Dense):
            layers.append(Dropout(inverted=True))
    return Architecture(
        "TORCHVISION_DROPOUT_BEHIND", TORCHVISION.image_sizes, TORCHVISION.towers, tuple(layers)
    )
