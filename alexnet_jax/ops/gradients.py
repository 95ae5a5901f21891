"""Gradients written by hand that forward mode can use, too."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

Tangent = jax.Array | SymbolicZero


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
        changing = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]

        def pull_back(cotangent: jax.Array) -> list[jax.Array]:
            gradients = gradient(*operands, cotangent)
            return [gradients[i] for i in changing]

        if not changing:
            return out, jnp.zeros_like(out)
        (tangent,) = jax.linear_transpose(pull_back, out)([tangents[i] for i in changing])
        return out, tangent

    return differentiable
