"""The network as pure functions: `init`, `apply`, `activations`."""

import functools
import zlib
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import PAPER
from alexnet_jax.forward import layer_batch_stats, local_output, run_layer
from alexnet_jax.layer_specs import BatchNorm, Conv, Dense, Output
from alexnet_jax.params import BatchStats, Layer, Params, check_params
from alexnet_jax.towers import Towers, run_sharded


def init(key: jax.Array, architecture: Architecture = PAPER) -> Params:
    """Draw the initial parameters (§5): weights from N(0, std^2), biases constant.

    Each layer draws from (key, its name) alone, so adding a layer changes no other.

    Args:
      key: `jax.random.key(seed)`.
      architecture: the network.

    Returns:
      For every layer its weights, conv [height, width, maps_in, maps_out] or dense
      [features_in, features_out], and its biases [outputs], as float32. Scales and running
      variances of a batch normalization start from 1, its offsets and running means from 0.
    """
    params: Params = {}
    for info in architecture.layer_info():
        if isinstance(info.spec, Conv | Dense | Output) and info.weight_shape:
            layer_key = jax.random.fold_in(key, zlib.crc32(info.name.encode()))
            weights = info.spec.std * jax.random.normal(layer_key, info.weight_shape, jnp.float32)
            biases = jnp.full(info.output_shape[-1], info.spec.bias, jnp.float32)
            params[info.name] = Layer(weights, biases)
        elif info.stats_name and info.weight_shape:
            # A separate array for each, or else a training step could not donate them.
            fill = functools.partial(jnp.full, info.weight_shape, dtype=jnp.float32)
            params[info.name] = Layer(fill(1), fill(0))
            params[info.stats_name] = BatchStats(fill(0), fill(1))
    return params


def apply(
    params: Params,
    images: jax.Array,
    *,
    architecture: Architecture = PAPER,
    dropout_key: jax.Array | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Return the logits of every class for every image.

    Args:
      params: from `init`.
      images: [n, height, width, 3], RGB, floating, on a scale of 0 to 255 with the mean subtracted.
      architecture: the network that `params` belong to.
      dropout_key: with a key, dropout and the statistics of this batch, as in training; without
        one, evaluation.
      mesh: from `make_mesh`; without one, all towers run on one device.

    Returns:
      [n, classes], in the dtype of the parameters.

    Raises:
      ValueError: images of a size, or parameters of a shape, that the architecture does not have.
      TypeError: images of integers.
    """
    name = architecture.layer_info()[-1].name
    outputs, _ = _run(params, images, [name], architecture, dropout_key, mesh)
    return outputs[name]


def apply_train(
    params: Params,
    images: jax.Array,
    dropout_key: jax.Array,
    *,
    architecture: Architecture = PAPER,
    mesh: Mesh | None = None,
) -> tuple[jax.Array, Params]:
    """Return the logits as `apply` with a `dropout_key`, and the statistics of this batch.

    The second value is what `update_batch_stats` takes: the mean and variance of every normalized
    map over the global batch, by the name of its running ones. It is empty without batch
    normalization. Arguments and errors are those of `apply`.
    """
    name = architecture.layer_info()[-1].name
    outputs, batch_stats = _run(params, images, [name], architecture, dropout_key, mesh)
    return outputs[name], batch_stats


def update_batch_stats(params: Params, batch_stats: Params, architecture: Architecture) -> Params:
    """Return the running means and variances after a step, for `params | ...`.

        running <- momentum * running + (1 - momentum) * batch

    Args:
      params: before the step.
      batch_stats: of the step's batch, from `apply_train`.
      architecture: the network that `params` belong to.

    Returns:
      The running statistics of every `BatchNorm`, and no other parameters.
    """
    updated: Params = {}
    for info in architecture.layer_info():
        if isinstance(info.spec, BatchNorm) and (name := info.stats_name):
            keep = info.spec.momentum
            pairs = zip(params[name], batch_stats[name], strict=True)
            updated[name] = BatchStats(*(keep * old + (1 - keep) * new for old, new in pairs))
    return updated


def activations(
    params: Params,
    images: jax.Array,
    names: str | Iterable[str],
    *,
    architecture: Architecture = PAPER,
    mesh: Mesh | None = None,
) -> dict[str, jax.Array]:
    """Return the outputs of the named layers in evaluation, by name.

    A layer without parameters takes the number of the last layer with parameters: "conv1" is the
    sum before the nonlinearity, "relu1" the output of the nonlinearity, then "norm1" and "pool1",
    and so on to "fc8". `summary` lists the names. Layers above the deepest named one do not run.

    Args:
      params: from `init`.
      images: as for `apply`.
      names: of one layer or several.
      architecture: the network that `params` belong to.
      mesh: from `make_mesh`; without one, all towers run on one device.

    Returns:
      Maps [n, height, width, maps] and features [n, features], those of all towers side by side
      on the last axis.

    Raises:
      ValueError: a name that the architecture does not have, or what `apply` raises.
    """
    names = [names] if isinstance(names, str) else list(names)
    layer_names = [info.name for info in architecture.layer_info()]
    for name in names:
        if name not in layer_names:
            listed = ", ".join(layer_names)
            raise ValueError(f"{architecture.name} has no layer {name!r}, but {listed}")
    outputs, _ = _run(params, images, names, architecture, None, mesh)
    return outputs


def _run(
    params: Params,
    images: jax.Array,
    names: Sequence[str],
    architecture: Architecture,
    dropout_key: jax.Array | None,
    mesh: Mesh | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Return the outputs of the named layers and, given a key, the statistics of this batch."""
    _check_images(images)
    check_params(params, architecture)
    weights, _ = next(iter(params.values()))
    images = images.astype(weights.dtype)
    infos = architecture.layer_info(images.shape[1])
    deepest = max((i for i, info in enumerate(infos) if info.name in names), default=-1)

    def forward(params: Params, images: jax.Array, key: jax.Array | None, towers: Towers):
        outputs: dict[str, jax.Array] = {}
        batch_stats: Params = {}
        xs = [images] * towers.count
        for info in infos[: deepest + 1]:
            if info.stats_name and key is not None:
                batch_stats[info.stats_name] = layer_batch_stats(info, xs, towers)
            xs = run_layer(info, params | batch_stats, xs, key, towers)
            if info.name in names:
                outputs[info.name] = local_output(info, xs, towers)
        return outputs, batch_stats

    return run_sharded(
        forward, params, images, dropout_key, names=names, architecture=architecture, mesh=mesh
    )


def _check_images(images: jax.Array) -> None:
    """Raise ValueError on the shape of the images, TypeError on their dtype."""
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be [n, size, size, 3], not {list(images.shape)}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images must be floating and mean-subtracted, not {images.dtype}")
