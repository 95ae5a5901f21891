"""The nets as Flax modules, over the same parameters: `AlexNet` for NNX, `LinenAlexNet` for Linen.

    from alexnet_jax import flax_modules

    model = flax_modules.AlexNet(rngs=nnx.Rngs(0))
    scores = model(images)

Imported by name: the rest of the library does without Flax.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
from flax import linen, nnx
from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture, BatchStats, Layer, Params
from alexnet_jax.architectures import PAPER


class AlexNet(nnx.Module):
    """A net whose parameters are NNX variables: `model.conv1.weights`, ..., `model.fc8.biases`.

    Weights and biases are `nnx.Param`, the running moments of batch normalizations (as
    `model.norm1_running.means`) `nnx.BatchStat`. Shapes are those of `alexnet_jax.init`.

    As with Flax's own layers, `model.train()` brings dropout and the batch's own moments, which
    then move the running ones, and `model.eval()` takes them away. Made with `rngs` it begins in
    training, without them at test time.
    """

    def __init__(
        self,
        architecture: Architecture = PAPER,
        *,
        rngs: nnx.Rngs | None = None,
        params: Params | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        """Take over `params`, or else draw them as `alexnet_jax.init` does.

        Args:
          architecture: the net.
          rngs: initial values come from its stream "params", dropout masks from "dropout".
          params: as from `alexnet_jax.init` or `alexnet_jax.load`.
          mesh: from `alexnet_jax.make_mesh`, for one tower on each device.

        Raises ValueError without `rngs` and without `params`.
        """
        if params is None:
            if rngs is None:
                raise ValueError("AlexNet needs rngs to draw its parameters, or params")
            params = alexnet_jax.init(rngs["params"](), architecture)
        self.architecture, self.mesh = architecture, mesh
        self.names = tuple(params)
        self.deterministic = rngs is None
        self.dropout = None if rngs is None else rngs["dropout"].fork()
        for name, arrays in params.items():
            setattr(self, name, _Variables(arrays))

    @property
    def params(self) -> Params:
        """The parameters as the library's functions take them, the same arrays."""
        return {name: getattr(self, name).arrays() for name in self.names}

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the scores [n, classes] of images [n, height, width, 3], as `alexnet_jax.apply`.

        Raises ValueError in training if the module was made without `rngs`.
        """
        where: Any = {"architecture": self.architecture, "mesh": self.mesh}
        params = self.params
        if self.deterministic:
            return alexnet_jax.apply(params, images, **where)
        if self.dropout is None:
            raise ValueError("to train, AlexNet must be made with rngs, which draw dropout masks")
        scores, moments = alexnet_jax.apply_train(params, images, self.dropout(), **where)
        moments = jax.lax.stop_gradient(moments)
        moved = alexnet_jax.update_batch_stats(params, moments, self.architecture)
        for name, (means, variances) in moved.items():
            running = getattr(self, name)
            running.means[...], running.variances[...] = means, variances
        return scores


class _Variables(nnx.Module):
    """The arrays of one layer, each as a variable under its own name."""

    def __init__(self, arrays: Layer | BatchStats) -> None:
        self.kind = type(arrays)
        variable = nnx.Param if isinstance(arrays, Layer) else nnx.BatchStat
        for name, array in arrays._asdict().items():
            setattr(self, name, variable(array))

    def arrays(self) -> Layer | BatchStats:
        """Return them as the library has them."""
        return self.kind(*(getattr(self, name)[...] for name in self.kind._fields))


class LinenAlexNet(linen.Module):
    """A net as a Linen module, whose variables are the library's own parameters.

    `variables["params"]` is a `Params`, "conv1" to "fc8"; the running moments of batch
    normalizations stand in `variables["batch_stats"]`. `linen_variables` and `linen_params` turn
    one into the other.

        model.apply(variables, images)
        model.apply(variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
    """

    architecture: Architecture = PAPER
    mesh: Mesh | None = None

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return the scores [n, classes] of images [n, height, width, 3].

        With `train`, dropout and the batch's own moments, which move the running ones.
        """
        net, where = self.architecture, {"architecture": self.architecture, "mesh": self.mesh}
        draw = functools.cache(lambda: alexnet_jax.init(self.make_rng("params"), net))
        held = {}
        for info in net.layer_info():
            if info.weight_shape:
                held[info.name] = self.variable("params", info.name, _of(draw, info.name))
            if info.weight_shape and info.stats_name:
                name = info.stats_name
                held[name] = self.variable("batch_stats", name, _of(draw, name))
        params: Params = {name: variable.value for name, variable in held.items()}
        if not train:
            return alexnet_jax.apply(params, images, **where)
        key = self.make_rng("dropout")
        scores, moments = alexnet_jax.apply_train(params, images, key, **where)
        if not self.is_initializing():
            for name, moved in alexnet_jax.update_batch_stats(params, moments, net).items():
                held[name].value = moved
        return scores


def _of(draw: Any, name: str) -> Any:
    """The initial value of one layer, drawn when it is asked for."""
    return lambda: draw()[name]


def linen_variables(params: Params) -> dict[str, dict[str, Any]]:
    """Return the parameters as the variables of a `LinenAlexNet`, the same arrays."""
    collections = {"params": Layer, "batch_stats": BatchStats}
    variables = {
        collection: {name: value for name, value in params.items() if isinstance(value, kind)}
        for collection, kind in collections.items()
    }
    return {collection: values for collection, values in variables.items() if values}


def linen_params(variables: Mapping[str, Any]) -> Params:
    """Return the variables of a `LinenAlexNet` as parameters of the library, the same arrays."""
    return {**variables["params"], **variables.get("batch_stats", {})}
