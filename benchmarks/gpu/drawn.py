"""Parameters and batches drawn by NumPy, so that a card and a CPU begin alike."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from alexnet_jax import Architecture


def draw_params(net: "Architecture") -> dict[str, Any]:
    """Return parameters of a network without batch normalization, a pytree of NumPy arrays."""
    from alexnet_jax import Layer

    rng, params = np.random.default_rng(0), {}
    for info in net.layer_info():
        if info.weight_shape and info.bias_shape:
            std, bias = (np.float32(getattr(info.spec, name)) for name in ("std", "bias"))
            weights = std * rng.standard_normal(info.weight_shape, np.float32)
            params[info.name] = Layer._make((weights, np.full(info.bias_shape, bias)))
    return params


def draw_batch(batch: int, size: int, classes: int, seed: int = 0) -> dict[str, Any]:
    """Return a `TrainingBatch` of noise, images uint8 [batch, size, size, 3]."""
    rng, numbers = np.random.default_rng(seed), np.arange(batch, dtype=np.int32)
    return {
        "image": rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8),
        "label": rng.integers(0, classes, batch, dtype=np.int32),
        "index": numbers,
        "epoch": np.zeros(batch, np.int32),
        "place": numbers,
    }
