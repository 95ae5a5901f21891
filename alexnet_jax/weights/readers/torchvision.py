"""torchvision.models.alexnet: its published files, and any other with the same tensor names."""

import numpy as np

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import TORCHVISION
from alexnet_jax.layer_specs import Dense, Dropout, LayerSpec, Relu
from alexnet_jax.preprocessing import Preprocessing
from alexnet_jax.weights.files.safetensors_file import TensorReaders
from alexnet_jax.weights.loaded import (
    LoadedWeights,
    convert_params,
    fit_preprocessing,
    with_class_count,
)
from alexnet_jax.weights.readers import state_dict

PREPROCESSING = Preprocessing(
    stored_size=256,
    input_size=224,
    scale=1 / 255,
    mean=np.array([0.485, 0.456, 0.406]),
    std=(0.229, 0.224, 0.225),
)
"""That of torchvision's documentation, with Pillow's linear resizing."""

CONVOLUTIONS = {f"conv{i + 1}": f"features.{number}" for i, number in enumerate((0, 3, 6, 8, 10))}
DENSE = {"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6"}
DENSE_DROPOUT_AFTER = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}


def read_weights(tensors: TensorReaders, architecture: Architecture | None) -> LoadedWeights:
    """Return the weights in tensors with torchvision's names.

    They may be among others, as in a checkpoint with its optimizer, and have any prefix. Some files
    have dropout after fc6 and fc7, as in the paper, and not before them; the indices in their
    tensor names tell.

    Args:
      tensors: how to read each, by its name.
      architecture: with layers of our names, if not torchvision's with any number of classes.

    Raises:
      ValueError: other tensors than these, or of another shape; two such networks.
    """
    plain = state_dict.find(tensors, (_tensor_names(DENSE), _tensor_names(DENSE_DROPOUT_AFTER)))
    dropout_after = "classifier.0.weight" in plain
    names = CONVOLUTIONS | (DENSE_DROPOUT_AFTER if dropout_after else DENSE)
    pairs = {layer: (f"{name}.weight", f"{name}.bias") for layer, name in names.items()}
    arrays = {layer: (plain[w](), plain[b]()) for layer, (w, b) in pairs.items()}
    published = _torchvision_dropout_after() if dropout_after else TORCHVISION
    net = architecture or with_class_count(published, arrays)
    params = convert_params(net, arrays, outputs_first=True)
    return LoadedWeights("torchvision's", params, net, fit_preprocessing(PREPROCESSING, net))


def _tensor_names(dense: dict[str, str]) -> dict[str, str]:
    """Our layer of each tensor."""
    layers = (CONVOLUTIONS | dense).items()
    return {f"{name}.{kind}": layer for layer, name in layers for kind in ("weight", "bias")}


def _torchvision_dropout_after() -> Architecture:
    """TORCHVISION with dropout after fc6 and fc7."""
    layers: list[LayerSpec] = []
    for layer in TORCHVISION.layers:
        if not isinstance(layer, Dropout):
            layers.append(layer)
        if isinstance(layer, Relu) and isinstance(layers[-2], Dense):
            layers.append(Dropout(inverted=True))
    return Architecture(
        "TORCHVISION_DROPOUT_BEHIND", TORCHVISION.image_sizes, TORCHVISION.towers, tuple(layers)
    )
