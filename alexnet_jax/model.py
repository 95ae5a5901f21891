"""The network as pure functions: `init`, `apply`, `activations`."""

import math
import zlib
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from alexnet_jax import towers
from alexnet_jax.architecture import (
    Architecture,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Gather,
    MaxPool,
    Output,
    Part,
    Relu,
    ResponseNorm,
    SpatialNorm,
    Step,
)
from alexnet_jax.architectures import PAPER
from alexnet_jax.layers import Layer, Params, conv, dense, dropout_mask, max_pool, product, relu
from alexnet_jax.normalization import local_response_norm, spatial_norm
from alexnet_jax.towers import Towers


def init(key: jax.Array, architecture: Architecture = PAPER) -> Params:
    """Draw the initial parameters (§5): weights from N(0, std^2), biases constant.

    Each layer draws from (key, its name) alone, so a layer added to a net changes no other's.

    Args:
      key: `jax.random.key(seed)`.
      architecture: the net.

    Returns:
      For every layer its weights, conv [height, width, maps_in, maps_out] or dense
      [features_in, features_out], and its biases [outputs], as float32.
    """
    params = {}
    for step in architecture.steps():
        if isinstance(step.layer, Conv | Dense | Output) and step.weights:
            layer_key = jax.random.fold_in(key, zlib.crc32(step.name.encode()))
            weights = step.layer.std * jax.random.normal(layer_key, step.weights, jnp.float32)
            biases = jnp.full(step.outputs[-1], step.layer.bias, jnp.float32)
            params[step.name] = Layer(weights, biases)
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
      dropout_key: with a key, dropout as in training; without, as at test time.
      mesh: from `make_mesh`; without one, all towers run on one device.

    Returns:
      [n, classes], of the parameters' type.

    Raises:
      ValueError: images of a size, or parameters of a shape, that are not the architecture's.
      TypeError: images of integers.
    """
    name = architecture.steps()[-1].name
    captured = _run(params, images, architecture, [name], dropout_key, mesh)
    return captured[name]


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
    known = [step.name for step in architecture.steps()]
    for name in names:
        if name not in known:
            raise ValueError(f"{architecture.name} has no layer {name!r}, but {', '.join(known)}")
    return _run(params, images, architecture, names, None, mesh)


def _run(params, images, architecture, names, dropout_key, mesh) -> dict[str, jax.Array]:
    images = _checked(params, images, architecture)
    steps = architecture.steps(images.shape[1])
    deepest = max((i for i, step in enumerate(steps) if step.name in names), default=-1)

    def forward(params: Params, images: jax.Array, key: jax.Array | None, here: Towers):
        captured, xs = {}, [images] * here.held
        for step in steps[: deepest + 1]:
            xs = run_layer(step, params, xs, key, here)
            if step.name in names:
                captured[step.name] = _whole(step, xs, here)
        return captured

    return towers.run(
        forward, params, images, dropout_key, names=names, architecture=architecture, mesh=mesh
    )


def run_layer(
    step: Step, params: Params, xs: list[jax.Array], key: jax.Array | None, here: Towers
) -> list[jax.Array]:
    """Run one layer: what each tower held here sees, to what each of them makes of it."""
    match step.layer:
        case Conv() as layer:
            kernels = here.cut(params[step.name])
            return [conv(layer, part, x) for part, x in zip(kernels, xs, strict=True)]
        case Dense() if step.whole_in:
            # One product for all towers held here: to cut the weights would copy them.
            return here.split(dense(params[step.name], xs[0]))
        case Dense():
            return [dense(p, x) for p, x in zip(here.cut(params[step.name]), xs, strict=True)]
        case Output():
            features = here.own(xs[0]) if step.whole_in else here.join(xs)
            weights, biases = params[step.name]
            return [here.sum(product(features, weights)) + biases]
        case Gather():
            return xs if step.whole_in else here.gather(xs)
        case Part():
            return here.split(here.own(xs[0])) if step.whole_in else xs
        case Dropout() as layer:
            return _dropout(layer, step, xs, key, here)
        case word if step.whole_in:  # the same for all towers: once is enough
            return [_alone(word, xs[0])] * here.held
        case word:
            return [_alone(word, x) for x in xs]


def _alone(word: Relu | ResponseNorm | SpatialNorm | MaxPool | Flatten, x: jax.Array) -> jax.Array:
    """Run a layer that has no parameters and needs no other tower."""
    match word:
        case Relu():
            return relu(x)
        case ResponseNorm(n, k, alpha, beta, divide):
            return local_response_norm(x, n, k, alpha, beta, divide)
        case SpatialNorm(size, k, alpha, beta):
            return spatial_norm(x, size, k, alpha, beta)
        case MaxPool() as layer:
            return max_pool(layer, x)
        case Flatten():
            return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _dropout(
    layer: Dropout, step: Step, xs: list[jax.Array], key: jax.Array | None, here: Towers
) -> list[jax.Array]:
    if key is None:
        return xs if layer.inverted else [0.5 * x for x in xs]
    mask = dropout_mask(key, step.name, here.examples(xs[0].shape[0]), step.outputs)
    masks = [mask] * here.held if step.whole_in else here.split(here.own(mask))
    scale = 2.0 if layer.inverted else 1.0
    return [jnp.where(m, scale * x, 0) for m, x in zip(masks, xs, strict=True)]


def _whole(step: Step, xs: list[jax.Array], here: Towers) -> jax.Array:
    """This device's share of a layer's whole array, for `towers.run` to put together."""
    if isinstance(step.layer, Output):
        return xs[0]
    return here.own(xs[0]) if step.whole_out else here.join(xs)


def _checked(params: Params, images: jax.Array, architecture: Architecture) -> jax.Array:
    """The images as the parameters' type, if both are what the architecture takes."""
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be [n, size, size, 3], not {list(images.shape)}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images must be floating and mean-subtracted, not {images.dtype}")
    expected = {step.name: step for step in architecture.steps() if step.weights}
    if params.keys() != expected.keys():
        raise ValueError(
            f"{architecture.name} has the layers {', '.join(expected)}; "
            f"the parameters have {', '.join(params)}"
        )
    for name, step in expected.items():
        have = tuple(tuple(leaf.shape) for leaf in params[name])
        want = (step.weights, step.outputs[-1:])
        if have != want:
            raise ValueError(
                f"{name} has weights and biases of {have[0]} and {have[1]}, "
                f"but {architecture.name} needs {want[0]} and {want[1]}"
            )
    return images.astype(params[next(iter(params))].weights.dtype)
