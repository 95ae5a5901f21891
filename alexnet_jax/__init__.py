"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) in JAX: two towers as pure functions.

params = alexnet_jax.init(jax.random.key(0))
logits = alexnet_jax.apply(params, images)
"""

from alexnet_jax import architectures as architectures
from alexnet_jax import evaluation as evaluation
from alexnet_jax import perceptual as perceptual
from alexnet_jax import towers as towers
from alexnet_jax import visualize as visualize
from alexnet_jax.architecture import Architecture as Architecture
from alexnet_jax.exports import export as export
from alexnet_jax.mesh import make_mesh as make_mesh
from alexnet_jax.model import activations as activations
from alexnet_jax.model import activations_train as activations_train
from alexnet_jax.model import apply as apply
from alexnet_jax.model import apply_train as apply_train
from alexnet_jax.model import init as init
from alexnet_jax.model import update_batch_stats as update_batch_stats
from alexnet_jax.params import BatchStats as BatchStats
from alexnet_jax.params import Layer as Layer
from alexnet_jax.params import Params as Params
from alexnet_jax.preprocessing import Preprocessing as Preprocessing
from alexnet_jax.towers import batch_sharding as batch_sharding
from alexnet_jax.towers import param_shardings as param_shardings
from alexnet_jax.visualize.summary import summary as summary
from alexnet_jax.weights import LoadedWeights as LoadedWeights
from alexnet_jax.weights import load as load
from alexnet_jax.weights import read as read
from alexnet_jax.weights import save as save

__version__ = "0.1.0"
