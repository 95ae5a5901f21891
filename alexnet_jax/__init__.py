"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012) in JAX: two towers as pure functions.

params = alexnet_jax.init(jax.random.key(0))
scores = alexnet_jax.apply(params, images)
"""

from alexnet_jax import architectures as architectures
from alexnet_jax import evaluation as evaluation
from alexnet_jax.architecture import Architecture as Architecture
from alexnet_jax.exports import export as export
from alexnet_jax.model import activations as activations
from alexnet_jax.model import apply as apply
from alexnet_jax.model import apply_in_training as apply_in_training
from alexnet_jax.model import init as init
from alexnet_jax.model import running_moments as running_moments
from alexnet_jax.ops.layers import Layer as Layer
from alexnet_jax.ops.layers import Moments as Moments
from alexnet_jax.ops.layers import Params as Params
from alexnet_jax.preprocessing import Preprocessing as Preprocessing
from alexnet_jax.towers import batch_parts as batch_parts
from alexnet_jax.towers import batch_sharding as batch_sharding
from alexnet_jax.towers import make_mesh as make_mesh
from alexnet_jax.towers import param_shardings as param_shardings
from alexnet_jax.towers import rows_here as rows_here
from alexnet_jax.towers import whole_batch as whole_batch
from alexnet_jax.visualize import saliency as saliency
from alexnet_jax.visualize.summary import summary as summary
from alexnet_jax.weights import load as load
from alexnet_jax.weights import save as save

__version__ = "0.1.0"
