"""Logits, gradients and losses of the same steps on a card and on a CPU, to be compared."""

import functools
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.gpu.ours import Ours

_SAMPLES = 4096
"""Values of each gradient that are kept, evenly spread over it."""
_LOSSES = "losses"


def write(ours: "Ours", precision: str, batch: int, steps: int, file: str) -> dict[str, Any]:
    """Write the numbers of a precision to an .npz file; return the losses."""
    from benchmarks.gpu.ours import matmul_precision

    with matmul_precision(precision):
        arrays = _logits_and_gradients(ours, precision, batch)
    losses = _losses(ours, precision, batch, steps)
    np.savez(file, allow_pickle=False, **arrays | {_LOSSES: np.array(losses)})
    return {_LOSSES: losses}


def _logits_and_gradients(ours: "Ours", precision: str, batch: int) -> dict[str, np.ndarray]:
    import jax
    import jax.numpy as jnp
    import optax

    import alexnet_jax
    from benchmarks.gpu.drawn import draw_params

    net, data = ours.net, ours.draw(ours.make_run(batch, precision))
    dtype, size = "bfloat16" if precision == "bfloat16" else "float32", net.image_sizes[0]
    images = jnp.asarray(data["image"][:, :size, :size], jnp.float32) - 127.5
    apply = functools.partial(alexnet_jax.apply, architecture=net)

    def cast(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def loss(params: Any) -> jax.Array:
        logits = apply(cast(params), images, dropout_key=jax.random.key(3)).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, data["label"]).mean()

    params = jax.tree.map(jnp.asarray, draw_params(net))
    arrays = {"logits": np.asarray(jax.jit(apply)(cast(params), images), np.float32)}
    gradients, _ = jax.tree_util.tree_flatten_with_path(jax.jit(jax.grad(loss))(params))
    return arrays | {jax.tree_util.keystr(path): _samples(leaf) for path, leaf in gradients}


def _samples(x: Any) -> np.ndarray:
    flat = np.asarray(x, np.float32).ravel()
    return flat[:: max(1, len(flat) // _SAMPLES)][:_SAMPLES]


def _losses(ours: "Ours", precision: str, batch: int, steps: int) -> list[float]:
    """Return the losses of the training step of train.main, on four batches in turn."""
    import jax
    import jax.numpy as jnp

    from benchmarks.gpu.drawn import draw_params
    from train.steps.train_step import TrainState
    from train.trainer import build

    run = ours.make_run(batch, precision)
    state = build.make_initial_state(run)
    params = jax.tree.map(jnp.asarray, draw_params(ours.net))
    state = TrainState(state.step, params, state.opt_state, state.plateau)
    program, losses = build.compile_step(run, state), []
    for number in range(steps):
        state, metrics = program(state, ours.draw(run, seed=number % 4))
        losses.append(float(metrics["loss"]))
    return losses


def compare(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the relative errors of logits and gradients, and how far the losses lie apart.

    Errors are Euclidean norms of differences, divided by the norm of what is expected. Losses are
    in nats, at the first step and at the worst one.
    """
    errors = {n: _relative_error(found[n], expected[n]) for n in expected if n != _LOSSES}
    logits = errors.pop("logits")
    worst = max(errors, key=lambda name: errors[name])
    gaps = np.abs(found[_LOSSES] - expected[_LOSSES])
    return {
        "logits": logits,
        "gradients_median": statistics.median(errors.values()),
        "gradients_worst": errors[worst],
        "worst_gradient": worst,
        "loss_first_step": float(gaps[0]),
        "loss_worst_step": float(gaps.max()),
        "finite": all(bool(np.isfinite(array).all()) for array in found.values()),
    }


def _relative_error(a: np.ndarray, b: np.ndarray) -> float:
    difference = np.linalg.norm(a.astype(np.float64) - b)
    return float(difference / max(float(np.linalg.norm(b.astype(np.float64))), 1e-30))
