"""The network as pure functions: `init`, `apply`, `activations`."""

import functools
import zlib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from alexnet_jax import towers
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.forward import layer_batch_stats, run_layer, whole
from alexnet_jax.layer_specs import BatchNorm, Conv, Dense, Output
from alexnet_jax.params import BatchStats, Layer, Params, check_params
from alexnet_jax.towers import Towers


def init(key: jax.Array, architecture: Architecture = PAPER) -> Params:
    """Draw the initial parameters (§5): weights from N(0, std^2), biases constant.

    Each layer draws from (key, its name) alone, so a layer added to a net changes no other's.

    Args:
      key: `jax.random.key(seed)`.
      architecture: the net.

    Returns:
      For every layer its weights, conv [height, width, maps_in, maps_out] or dense
      [features_in, features_out], and its biases [outputs], as float32. Scales and running
      variances of a batch normalization start from 1, its offsets and running means from 0.
    """
    params: dict[str, Any] = {}
    for info in architecture.layer_info():
        if isinstance(info.spec, Conv | Dense | Output) and info.weight_shape:
            layer_key = jax.random.fold_in(key, zlib.crc32(info.name.encode()))
            weights = info.spec.std * jax.random.normal(layer_key, info.weight_shape, jnp.float32)
            biases = jnp.full(info.output_shape[-1], info.spec.bias, jnp.float32)
            params[info.name] = Layer(weights, biases)
        elif info.running and info.weight_shape:
            # Arrays of their own each, or else a step could not be given them to overwrite.
            fill = functools.partial(jnp.full, info.weight_shape, dtype=jnp.float32)
            params[info.name] = Layer(fill(1), fill(0))
            params[info.running] = BatchStats(fill(0), fill(1))
    return params


def apply(
    params: Params,
    images: jax.Array,
    *,
    architecture: Architecture = PAPER,
    dropout_key: jax.Array | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> jax.Array:
    """Return the scores (logits) of every class for every image.

    Args:
      params: as from `init`.
      images: [n, height, width, 3], RGB, floating, on a scale of 0 to 255 with the mean subtracted.
      architecture: the net that `params` belong to.
      dropout_key: with a key, dropout and the batch's own moments, as in training; without, as at
        test time.
      mesh: from `make_mesh`; without one, all towers run on one device.

    Returns:
      [n, classes], of the parameters' type.

    Raises:
      ValueError: images of a size, or parameters of a shape, that are not the architecture's.
      TypeError: images of integers.
    """
    name = architecture.layer_info()[-1].name
    captured, _ = _run(params, images, architecture, [name], dropout_key, mesh)
    return captured[name]


def apply_train(
    params: Params,
    images: jax.Array,
    dropout_key: jax.Array,
    *,
    architecture: Architecture = PAPER,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[jax.Array, Params]:
    """Return the scores as `apply` with a `dropout_key`, and the moments of this batch.

    The statistics are what `update_batch_stats` needs: mean and variance
    of every map over the whole batch, under the name of its running ones. A net without batch
    normalization has none.
    """
    name = architecture.layer_info()[-1].name
    captured, moments = _run(params, images, architecture, [name], dropout_key, mesh)
    return captured[name], moments


def update_batch_stats(params: Params, moments: Params, architecture: Architecture) -> Params:
    """Return the running means and variances after a step, to be laid over the parameters with `|`.

    Each keeps `BatchNorm.momentum` of itself and takes the rest from the batch.

    Args:
      params: before the info.
      moments: of the info's batch, from `apply_train`.
      architecture: the net that `params` belong to.
    """
    moved: dict[str, Any] = {}
    for info in architecture.layer_info():
        if isinstance(info.spec, BatchNorm) and info.running:
            keep = info.spec.momentum
            pairs = zip(params[info.running], moments[info.running], strict=True)
            moved[info.running] = BatchStats(*(keep * old + (1 - keep) * new for old, new in pairs))
    return moved


def activations(
    params: Params,
    images: jax.Array,
    names: str | Iterable[str],
    *,
    architecture: Architecture = PAPER,
    mesh: jax.sharding.Mesh | None = None,
) -> dict[str, jax.Array]:
    """Return what the named layers make of the images, at test time, as whole arrays.

    A layer without parameters takes the number of the last one with: "conv1" is the sum before
    the nonlinearity, "relu1" comes after it, then "norm1" and "pool1"; and so on to "fc8". The
    maps of all towers stand side by side on the last axis. `summary` lists the names.

    Nothing behind the deepest layer asked for is computed.

    Raises ValueError on a name that the architecture does not have.
    """
    names = [names] if isinstance(names, str) else list(names)
    known = [info.name for info in architecture.layer_info()]
    for name in names:
        if name not in known:
            raise ValueError(f"{architecture.name} has no layer {name!r}, but {', '.join(known)}")
    captured, _ = _run(params, images, architecture, names, None, mesh)
    return captured


def _run(
    params, images, architecture, names, dropout_key, mesh
) -> tuple[dict[str, jax.Array], Params]:
    images = _checked(params, images, architecture)
    infos = architecture.layer_info(images.shape[1])
    deepest = max((i for i, info in enumerate(infos) if info.name in names), default=-1)

    def forward(params: Params, images: jax.Array, key: jax.Array | None, here: Towers):
        captured, moments, xs = {}, {}, [images] * here.held
        for info in infos[: deepest + 1]:
            if info.running and key is not None:
                moments[info.running] = layer_batch_stats(info, xs, here)
            xs = run_layer(info, params | moments, xs, key, here)
            if info.name in names:
                captured[info.name] = whole(info, xs, here)
        return captured, moments

    return towers.run(
        forward, params, images, dropout_key, names=names, architecture=architecture, mesh=mesh
    )


def _checked(params: Params, images: jax.Array, architecture: Architecture) -> jax.Array:
    """The images as the parameters' type, if both are what the architecture takes."""
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be [n, size, size, 3], not {list(images.shape)}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images must be floating and mean-subtracted, not {images.dtype}")
    check_params(params, architecture)
    return images.astype(params[next(iter(params))].weights.dtype)
