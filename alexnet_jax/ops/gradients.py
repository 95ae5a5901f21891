"""Gradients written by hand that forward mode can use, too."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Tangent = jax.Array | SymbolicZero
# JAX 0.7 transposes a scan only in a function that it has linearized; versions up to 0.11 were not
# tried.
_TRANSPOSES_SCANS = jax.__version_info__ >= (0, 12)


def with_gradient(
    function: Callable[..., jax.Array], gradient: Callable[..., tuple[jax.Array, ...]]
) -> Callable[..., jax.Array]:
    """Return the function with a gradient written by hand, for every kind of differentiation.

    `jax.custom_vjp` takes the same gradient and refuses forward mode. Here the derivative along a
    direction is the transpose of the gradient, which is linear in the cotangent. Reverse mode
    transposes it again, and so runs the gradient as it is written.

    Args:
      function: of one or more arrays, to one array.
      gradient: (*operands, cotangent) to the gradient by each operand. The cotangent may pass only
        through operations that JAX can transpose. What it needs of the operands alone is kept from
        the forward pass, except within `jax.checkpoint`.
    """

    @jax.custom_jvp
    def differentiable(*operands: jax.Array) -> jax.Array:
        return function(*operands)

    @functools.partial(differentiable.defjvp, symbolic_zeros=True)
    def _along(
        operands: tuple[jax.Array, ...], tangents: tuple[Tangent, ...]
    ) -> tuple[jax.Array, jax.Array]:
        out = differentiable(*operands)
        changing = {i: t for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)}

        def pull_back(cotangent: jax.Array) -> list[jax.Array]:
            gradients = gradient(*operands, cotangent)
            return [gradients[i] for i in changing]

        if not changing:
            return out, jnp.zeros_like(out)
        (tangent,) = _transpose(pull_back, out)(list(changing.values()))
        return out, tangent

    return differentiable


def on_same_devices(maps: jax.Array, kernels: jax.Array) -> bool:
    """Whether no explicit axis divides the maps, and both vary over the same manual axes.

    A gradient written by hand for both may then reshape the batch, and its part by one operand may
    vary over every axis that the other one varies over.
    """
    types = jax.typeof(maps), jax.typeof(kernels)
    manual = [t.mat if hasattr(t, "mat") else t.vma for t in types]  # `vma` in older versions
    return not any(any(t.sharding.spec) for t in types) and manual[0] == manual[1]


def varies_over_devices(*arrays: jax.Array) -> bool:
    """Whether each device of a `shard_map` around has numbers of its own in one of the arrays."""
    types = map(jax.typeof, arrays)
    return any(t.mat.varying if hasattr(t, "mat") else t.vma for t in types)


def _transpose(
    linear: Callable[[jax.Array], list[jax.Array]], like: jax.Array
) -> Callable[[list[jax.Array]], tuple[jax.Array]]:
    """Return the transpose of a linear function of one array."""
    if _TRANSPOSES_SCANS:
        return jax.linear_transpose(linear, like)
    return jax.vjp(linear, jnp.zeros_like(like))[1]  # `jit` removes what it computes of the zeros
