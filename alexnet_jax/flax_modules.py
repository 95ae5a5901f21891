"""Flax modules over the same parameters: `AlexNet` for NNX, `LinenAlexNet` for Linen.

    from alexnet_jax import flax_modules

    model = flax_modules.AlexNet(rngs=nnx.Rngs(0))
    logits = model(images)

Import this module by name: the rest of the library needs no Flax.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

import alexnet_jax
from alexnet_jax import Architecture, BatchStats, Layer, Params, architectures
from alexnet_jax.architectures import PAPER
from alexnet_jax.params import ParamsLike, as_params, check_params

try:
    from flax import linen, nnx
except ModuleNotFoundError as error:
    if error.name != "flax":
        raise
    raise ModuleNotFoundError(
        f"{__name__} needs the package flax: pip install flax", name="flax"
    ) from None


class AlexNet(nnx.Module):
    """A network whose parameters are NNX variables: `model.conv1.weights`, ..., `model.fc8.biases`.

    Weights and biases are `nnx.Param`; the running statistics of batch normalizations, such as
    `model.norm1_running.means`, are `nnx.BatchStat`. Shapes are those of `alexnet_jax.init`.

    As with Flax's own layers, `model.train()` turns on dropout and the statistics of the batch,
    which update the running ones, and `model.eval()` turns them off. A model made with `rngs`
    starts in training mode, one made without them in evaluation mode.
    """

    def __init__(
        self,
        architecture: Architecture | str = PAPER,
        *,
        rngs: nnx.Rngs | None = None,
        params: ParamsLike | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        """Use `params`, or draw them as `alexnet_jax.init` does.

        Args:
          architecture: the network, or its name.
          rngs: the stream "params" draws initial values, the stream "dropout" dropout masks.
          params: from `alexnet_jax.init` or `alexnet_jax.load`, in any containers.
          mesh: from `alexnet_jax.make_mesh`, for one tower on each device.

        Raises:
          ValueError: neither `rngs` nor `params`, or parameters of another architecture; a layer
            with the name of an attribute, such as "params" or "train".
          TypeError: parameters that are not floating.
        """
        architecture = architectures.get(architecture)
        if params is None:
            if rngs is None:
                raise ValueError("AlexNet needs rngs to draw its parameters, or params")
            params = alexnet_jax.init(rngs["params"](), architecture)
        params = check_params(params, architecture)
        self.architecture, self.mesh = architecture, mesh
        self.names = tuple(params)
        self.deterministic = rngs is None
        self.dropout = None if rngs is None else rngs["dropout"].fork()
        for name, arrays in params.items():
            if name in dir(self):  # `hasattr` would call `params`
                raise ValueError(
                    f"{name} cannot be the name of a layer: AlexNet has that attribute"
                )
            setattr(self, name, _Variables(arrays))

    @property
    def params(self) -> Params:
        """The parameters for the library's functions, without a copy."""
        return {name: getattr(self, name).arrays() for name in self.names}

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the logits [n, classes] of images [n, height, width, 3], as `alexnet_jax.apply`.

        Raises:
          ValueError: training mode without `rngs`.
        """
        options: Any = {"architecture": self.architecture, "mesh": self.mesh}
        params = self.params
        if self.deterministic:
            return alexnet_jax.apply(params, images, **options)
        if self.dropout is None:
            raise ValueError("to train, AlexNet must be made with rngs, which draw dropout masks")
        logits, stats = alexnet_jax.apply_train(params, images, self.dropout(), **options)
        stats = jax.lax.stop_gradient(stats)
        updated = alexnet_jax.update_batch_stats(params, stats, self.architecture)
        for name, (means, variances) in updated.items():
            running = getattr(self, name)
            running.means[...], running.variances[...] = means, variances
        return logits


class _Variables(nnx.Module):
    """The arrays of one layer, each a variable by its own name."""

    def __init__(self, arrays: Layer | BatchStats) -> None:
        self.kind = type(arrays)
        variable = nnx.Param if isinstance(arrays, Layer) else nnx.BatchStat
        for name, array in arrays._asdict().items():
            setattr(self, name, variable(jnp.asarray(array)))

    def arrays(self) -> Layer | BatchStats:
        """Return the arrays as a `Layer` or `BatchStats`."""
        return self.kind(*(getattr(self, name)[...] for name in self.kind._fields))


class LinenAlexNet(linen.Module):
    """A network as a Linen module, whose variables are the library's own parameters.

    `variables["params"]` is a `Params`, "conv1" to "fc8"; `variables["batch_stats"]` holds the
    running statistics of batch normalizations. `linen_variables` and `linen_params` convert
    between them and `Params`.

        model.apply(variables, images)
        model.apply(variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
    """

    architecture: Architecture | str = PAPER
    mesh: Mesh | None = None

    @linen.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        """Return the logits [n, classes] of images [n, height, width, 3].

        `train` turns on dropout and the statistics of the batch, which update the running ones.

        Raises ValueError for a layer called "params".
        """
        net = architectures.get(self.architecture)
        if "params" in net.layer_names():
            raise ValueError(
                "params cannot be the name of a layer: Linen keeps all layers under it"
            )
        options: Any = {"architecture": net, "mesh": self.mesh}
        draw = functools.cache(lambda: alexnet_jax.init(self.make_rng("params"), net))
        variables = {}
        for info in net.layer_info():
            if info.weight_shape:
                variables[info.name] = self.variable("params", info.name, _initial(draw, info.name))
            if info.weight_shape and info.stats_name:
                name = info.stats_name
                variables[name] = self.variable("batch_stats", name, _initial(draw, name))
        params: Params = {name: variable.value for name, variable in variables.items()}
        if not train:
            return alexnet_jax.apply(params, images, **options)
        key = self.make_rng("dropout")
        logits, stats = alexnet_jax.apply_train(params, images, key, **options)
        if not self.is_initializing():
            for name, updated in alexnet_jax.update_batch_stats(params, stats, net).items():
                variables[name].value = updated
        return logits


def _initial(draw: Any, name: str) -> Any:
    """Return an initializer of one layer, which draws when it is called."""
    return lambda: draw()[name]


def linen_variables(params: ParamsLike) -> dict[str, dict[str, Any]]:
    """Return parameters, in any containers, as the variables of a `LinenAlexNet`.

    Nothing is copied.
    """
    collections = {"params": Layer, "batch_stats": BatchStats}
    layers = as_params(params)
    variables = {
        collection: {name: value for name, value in layers.items() if isinstance(value, kind)}
        for collection, kind in collections.items()
    }
    return {collection: values for collection, values in variables.items() if values}


def linen_params(variables: Mapping[str, Any]) -> Params:
    """Return the variables of a `LinenAlexNet` as parameters, without a copy."""
    return as_params({**variables["params"], **variables.get("batch_stats", {})})
