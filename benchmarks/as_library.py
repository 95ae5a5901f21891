"""A user's own jitted functions of `alexnet_jax`, to be timed: nothing else sets up the process."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import alexnet_jax
from benchmarks.worker import Prepared, serve


def prepare(task: str, batch: int) -> Prepared:
    """Return a training step, or one forward pass, of PAPER on random images."""
    rng = np.random.default_rng(0)
    params = jax.jit(alexnet_jax.init)(jax.random.key(0))
    images = jnp.asarray(rng.normal(0, 60, (batch, 224, 224, 3)), jnp.float32)
    if task == "forward":
        forward = jax.jit(alexnet_jax.apply)
        return lambda: forward(params, images).block_until_ready()

    labels = jnp.asarray(rng.integers(1000, size=batch))
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(1e-4, momentum=0.9))

    def loss(
        params: alexnet_jax.Params, key: jax.Array, images: jax.Array, labels: jax.Array
    ) -> jax.Array:
        logits = alexnet_jax.apply(params, images, dropout_key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: alexnet_jax.Params,
        state: optax.OptState,
        key: jax.Array,
        images: jax.Array,
        labels: jax.Array,
    ) -> tuple[alexnet_jax.Params, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, key, images, labels)
        updates, state = optimizer.update(gradient, state, params)
        return jax.tree.map(jnp.add, params, updates), state, value

    now, key = (params, optimizer.init(params)), jax.random.key(1)

    def train() -> float:
        nonlocal now
        *now, value = step(*now, key, images, labels)  # XLA would fold constants
        return float(value)

    return train


if __name__ == "__main__":
    serve(prepare)
