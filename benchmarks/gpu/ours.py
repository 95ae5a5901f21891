"""This package's step and forward pass on the card, compiled in several variants."""

import contextlib
import functools
import importlib.metadata
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX itself waits until the devices are prepared
    from jax.stages import Compiled

    from train.steps.train_step import TrainState
    from train.trainer.build import Run


class Ours:
    """The compiled variants, by their keys, and the state that all training steps share."""

    def __init__(self, net: str) -> None:
        """Take the network by its name, as `--net` does."""
        import jax

        import alexnet_jax
        from train.config.config import Config
        from train.config.network import get_architecture, read_net

        self.config = Config().replace(net=read_net(net), flip=True, cut_epochs=())
        self.net = get_architecture(self.config)
        self.mesh, self.device = alexnet_jax.make_mesh(1), jax.devices()[0]
        self.runs: dict[str, Callable[[int], float]] = {}
        """Each takes a number of steps, and returns a number after the last has ended."""
        self.steps: dict[str, tuple[Run, Compiled]] = {}
        self.state: TrainState | None = None

    def about(self) -> dict[str, Any]:
        """Return what JAX says of the device."""
        import jax

        from train.runtime.device_memory import memory_limit

        return {
            "jax": jax.__version__,
            "jaxlib": importlib.metadata.version("jaxlib"),
            "platform": self.device.platform,
            "device_kind": self.device.device_kind,
            "devices": len(jax.devices()),
            "compute_capability": getattr(self.device, "compute_capability", None),
            "memory_limit": memory_limit(self.mesh),
        }

    def build(self, key: str, task: str, batch: int, precision: str, how: str) -> dict[str, Any]:
        """Compile a "train" step or a "forward" pass and run it; it is then known as `key`.

        `how` is "jit" or "deterministic", as the flag of train.main.
        """
        from train.runtime.arithmetic import describe_products

        start = time.perf_counter()
        if task == "train":
            deterministic = how == "deterministic"
            program, run = self._compile_step(key, self.make_run(batch, precision, deterministic))
        else:
            program, run = self._compile_forward(batch, precision)
        run(2)
        self.runs[key] = run
        return {
            "build_s": round(time.perf_counter() - start, 2),
            "products": describe_products(precision, self.device),
        } | program_figures(program)

    def _compile_step(self, key: str, run: "Run") -> "tuple[Compiled, Callable[[int], float]]":
        import jax

        import alexnet_jax
        from train.trainer import build

        state = self.state or build.make_initial_state(run)
        program, self.state = build.compile_step(run, state), state
        data = jax.device_put(self.draw(run), alexnet_jax.batch_sharding(self.mesh))
        self.steps[key] = run, program
        return program, functools.partial(self.train_steps, key, data)

    def _compile_forward(
        self, batch: int, precision: str
    ) -> "tuple[Compiled, Callable[[int], float]]":
        import jax
        import jax.numpy as jnp

        import alexnet_jax
        from benchmarks.gpu.drawn import draw_params

        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), draw_params(self.net))
        size = self.net.image_sizes[0]
        images = 60 * jax.random.normal(jax.random.key(0), (batch, size, size, 3))
        forward = jax.jit(functools.partial(alexnet_jax.apply, architecture=self.net))
        with matmul_precision(precision):
            program = forward.lower(params, images).compile()

        def run(count: int) -> float:
            logits: Any = [[math.nan]]
            for _ in range(count):
                logits = program(params, images)
            return float(logits[0][0])

        return program, run

    def make_run(self, batch: int, precision: str, deterministic: bool = False) -> "Run":
        """Return a run whose data are noise; its steps are those of train.main."""
        from train.data.stored_size import stored_size
        from train.data.synthetic import synthetic_data
        from train.dry_run.timing import synthetic_run

        config = self.config.replace(batch_size=batch, precision=precision, learning_rate=1e-4)
        config = config.replace(deterministic=deterministic)
        size = stored_size(config, self.net)
        data = synthetic_data(size, train=batch, test=0, classes=self.net.classes)
        return synthetic_run(config, self.net, data, self.mesh)

    def draw(self, run: "Run", seed: int = 0) -> dict[str, Any]:
        """Return a batch for a run, in the host's memory."""
        from benchmarks.gpu.drawn import draw_batch

        size = len(run.statistics.mean)
        return draw_batch(run.config.recipe.batch_size, size, self.net.classes, seed)

    def train_steps(self, key: str, data: Any, count: int) -> float:
        """Train on the same batch, without waiting between the steps. Returns the last loss."""
        from train.trainer import build

        run, program = self.steps[key]
        state, loss = self.state or build.make_initial_state(run), math.nan
        self.state = None  # a step that fails has given its memory away
        for _ in range(count):
            state, metrics = program(state, data)
            loss = metrics["loss"]
        loss = float(loss)
        self.state = state
        return loss

    def same_twice(self, key: str, count: int) -> dict[str, Any]:
        """Train the same steps twice; return the arrays of parameters whose bits then differ."""
        import jax
        import numpy as np

        from train.trainer import build

        ends = []
        for _ in range(2):
            self.state = build.make_initial_state(self.steps[key][0])
            self.runs[key](count)
            assert self.state is not None
            leaves, _ = jax.tree_util.tree_flatten_with_path(self.state.params)
            ends.append({jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})
        first, second = ends
        differ = [n for n in first if first[n].tobytes() != second[n].tobytes()]
        return {"steps": count, "arrays": len(first), "arrays_that_differ": differ}


def matmul_precision(precision: str) -> contextlib.AbstractContextManager:
    """Return the context in which a forward pass of a `--precision` is compiled."""
    import jax

    exact = precision == "highest"
    return jax.default_matmul_precision("highest") if exact else contextlib.nullcontext()


def program_figures(program: "Compiled") -> dict[str, Any]:
    """Return the memory of a compiled program, and the kinds of its kernels that matter."""
    from train.runtime.hlo import memory_usage

    memory, text = memory_usage(program), program.as_text() or ""
    return {
        "memory_MB": round(memory.total / 1e6) if memory else None,
        "scatters": text.count(" scatter(") + text.count(" select-and-scatter("),
        "cudnn_calls": text.count('custom_call_target="__cudnn'),
        "copies": text.count(" copy("),
    }
