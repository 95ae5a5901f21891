"""The network as pure functions: `init`, `apply`, `activations`.

`architecture` is an `Architecture`, or the name of one in `architectures`.
"""

import functools
import zlib
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from alexnet_jax import architectures
from alexnet_jax.architecture import Architecture, LayerInfo
from alexnet_jax.architectures import PAPER
from alexnet_jax.forward import run_layers, run_layers_compiled
from alexnet_jax.layer_specs import BatchNorm
from alexnet_jax.mesh import AxisNames, MeshAxes, mesh_axes
from alexnet_jax.ops.layers import at_least_float32
from alexnet_jax.params import BatchStats, Layer, Params, ParamsLike, as_params, check_params
from alexnet_jax.selection import layer_info, layers_to_run, select_layers


def init(key: jax.Array, architecture: Architecture | str = PAPER) -> Params:
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
    for info in architectures.get(architecture).layer_info():
        if info.weight_shape is None or info.bias_shape is None:
            continue
        layer_key = jax.random.fold_in(key, zlib.crc32(info.name.encode()))
        drawn = info.spec.init(layer_key, info.weight_shape, info.bias_shape)
        if not isinstance(drawn, tuple | list) or len(drawn) != 2:
            raise ValueError(f"{info.name}: init should return a tuple of weights and biases")
        params[info.name] = Layer(*drawn)
        if info.stats_name:
            fill = functools.partial(jnp.full, info.weight_shape, dtype=jnp.float32)
            params[info.stats_name] = BatchStats(fill(0), fill(1))
    return params


def apply(
    params: ParamsLike,
    images: jax.Array,
    *,
    after: str | None = None,
    architecture: Architecture | str = PAPER,
    dropout_key: jax.Array | None = None,
    mesh: Mesh | None = None,
    axis_names: AxisNames | None = None,
) -> jax.Array:
    """Return the logits of every class for every image.

    Args:
      params: from `init`, or the same arrays in other containers, see `ParamsLike`.
      images: [n, height, width, 3], RGB, floating, on a scale of 0 to 255 with the mean subtracted.
      after: name of a layer. `images` is then the output of this layer, as `activations` returns
        it, changed or not, and only the layers after it run.
      architecture: the network that `params` belong to.
      dropout_key: with a key, dropout and the statistics of this batch, as in training; without
        one, evaluation.
      mesh: from `make_mesh`, or any other; without one, all towers run on one device.
      axis_names: what the axes of `mesh` divide, if they are not called "data", "tower" and
        "dense": {"data": "batch"} for one that divides the batch, or {"data": ("replica", "fsdp"),
        "tower": "model"}. Axes that are not named divide nothing.

    Returns:
      [n, classes], in the dtype of the parameters. Of parameters in several dtypes, each layer
      computes in the dtype of its weights.

    On GPUs and TPUs products of float32 are rounded further, unless `jax.default_matmul_precision`
    is "highest".

    Raises:
      ValueError: images of a size, or parameters of a shape, that the architecture does not have;
        a mesh that cannot divide its towers, its dense layers or the batch.
      TypeError: images or parameters of integers; a `dropout_key` that is no key.
    """
    axes = _axes(mesh, axis_names)
    logits, _ = _run_to_logits(params, images, after, architecture, dropout_key, axes)
    return logits


def apply_train(
    params: ParamsLike,
    images: jax.Array,
    dropout_key: jax.Array,
    *,
    after: str | None = None,
    architecture: Architecture | str = PAPER,
    mesh: Mesh | None = None,
    axis_names: AxisNames | None = None,
) -> tuple[jax.Array, Params]:
    """Return the logits as `apply` with a `dropout_key`, and the statistics of this batch.

    The second value is what `update_batch_stats` takes: the mean and variance of every normalized
    map over the global batch, by the name of its running ones. It is empty without batch
    normalization. Arguments and errors are those of `apply`.
    """
    axes = _axes(mesh, axis_names)
    return _run_to_logits(params, images, after, architecture, dropout_key, axes)


def update_batch_stats(
    params: ParamsLike, batch_stats: ParamsLike, architecture: Architecture | str
) -> Params:
    """Return the running means and variances after a step, for `params | ...`.

        running <- momentum * running + (1 - momentum) * batch

    Args:
      params: before the step.
      batch_stats: of the step's batch, from `apply_train` or `activations_train`.
      architecture: the network that `params` belong to.

    Returns:
      The running statistics of every `BatchNorm` in `batch_stats`, in the containers and dtypes of
      `params`, and no other parameters.
    """
    updated: Params = {}
    old_stats, new_stats = as_params(params), as_params(batch_stats)
    for info in architectures.get(architecture).layer_info():
        if isinstance(info.spec, BatchNorm) and (name := info.stats_name) in new_stats:
            pairs = zip(old_stats[name], new_stats[name], strict=True)
            arrays = [_running_mean(old, new, info.spec.momentum) for old, new in pairs]
            updated[name] = jax.tree.unflatten(jax.tree.structure(params[name]), arrays)
    return updated


def _running_mean(old: jax.Array, new: jax.Array, keep: float) -> jax.Array:
    old, new = jnp.asarray(old), jnp.asarray(new)
    return (keep * at_least_float32(old) + (1 - keep) * at_least_float32(new)).astype(old.dtype)


def activations(
    params: ParamsLike,
    images: jax.Array,
    names: str | Iterable[str] | None = None,
    *,
    after: str | None = None,
    architecture: Architecture | str = PAPER,
    dropout_key: jax.Array | None = None,
    mesh: Mesh | None = None,
    axis_names: AxisNames | None = None,
) -> dict[str, jax.Array]:
    """Return the outputs of the named layers, by name.

    A layer without parameters takes the number of the last layer with parameters: "conv1" is the
    sum before the nonlinearity, "relu1" the output of the nonlinearity, then "norm1" and "pool1",
    and so on to "fc8". `summary` lists the names. Layers above the deepest named one do not run,
    and `params` need not have their parameters. A network with the layers of torchvision's takes
    the names of its modules as well, "features.0" to "classifier.6".

    Args:
      params: as for `apply`.
      images: as for `apply`; of any size, if no named layer comes after `Flatten`.
      names: of one layer or several; if None, of all.
      after: as for `apply`.
      architecture: the network that `params` belong to.
      dropout_key: as for `apply`.
      mesh: as for `apply`.
      axis_names: as for `apply`.

    Returns:
      Maps [n, height, width, maps] and features [n, features], those of all towers side by side
      on the last axis.

    Raises:
      ValueError: a name that the architecture does not have, or what `apply` raises.
      TypeError: what `apply` raises.
    """
    axes = _axes(mesh, axis_names)
    outputs, _ = _run(params, images, names, after, architecture, dropout_key, axes)
    return outputs


def activations_train(
    params: ParamsLike,
    images: jax.Array,
    dropout_key: jax.Array,
    names: str | Iterable[str] | None = None,
    *,
    after: str | None = None,
    architecture: Architecture | str = PAPER,
    mesh: Mesh | None = None,
    axis_names: AxisNames | None = None,
) -> tuple[dict[str, jax.Array], Params]:
    """Return `activations` with a `dropout_key`, and the statistics of this batch.

    The second value is that of `apply_train`, for the layers that run. Arguments and errors are
    those of `activations`.
    """
    axes = _axes(mesh, axis_names)
    return _run(params, images, names, after, architecture, dropout_key, axes)


def _axes(mesh: Mesh | None, axis_names: AxisNames | None) -> MeshAxes | None:
    if mesh is None:
        if axis_names is not None:
            raise ValueError("`axis_names` are those of a `mesh`, which is not given")
        return None
    return mesh_axes(mesh, axis_names)


def _run_to_logits(
    params: ParamsLike,
    inputs: jax.Array,
    after: str | None,
    architecture: Architecture | str,
    dropout_key: jax.Array | None,
    axes: MeshAxes | None,
) -> tuple[jax.Array, Params]:
    """Return the logits and, given a key, the statistics of this batch."""
    net = architectures.get(architecture)
    name = net.layer_names()[-1]
    outputs, batch_stats = _run(params, inputs, name, after, net, dropout_key, axes)
    return outputs[name], batch_stats


def _run(
    params: ParamsLike,
    inputs: jax.Array,
    asked: str | Iterable[str] | None,
    after: str | None,
    architecture: Architecture | str,
    dropout_key: jax.Array | None,
    axes: MeshAxes | None,
) -> tuple[dict[str, jax.Array], Params]:
    """Return the outputs of the layers asked for and, given a key, the statistics of this batch."""
    net = architectures.get(architecture)
    if dropout_key is not None and not hasattr(dropout_key, "dtype"):
        raise TypeError(f"dropout_key must be a key, as jax.random.key(0), not {dropout_key!r}")
    inputs, names = jnp.asarray(inputs), select_layers(net, asked, after)
    params = check_params(params, net, layers_to_run(net, names, after))
    infos = tuple(layer_info(net, names, inputs, after))
    params = _as_arrays(params, infos)
    layers = tuple(info.name for info in infos if info.name in names.values())
    # A layer of a user's own may print values or leave JAX.
    run = run_layers if any(info.spec.has_apply for info in infos) else run_layers_compiled
    outputs, batch_stats = run(
        params, inputs, dropout_key, infos=infos, names=layers, net=net, axes=axes
    )
    return {name: outputs[layer] for name, layer in names.items()}, batch_stats


def _as_arrays(params: Params, infos: Iterable[LayerInfo]) -> Params:
    """Return parameters as JAX's arrays; those of a batch normalization in float32 or wider."""
    params = jax.tree.map(jnp.asarray, params)
    for info in infos:
        if info.stats_name:
            for name in (info.name, info.stats_name):
                params[name] = jax.tree.map(at_least_float32, params[name])
    return params
