"""The names that the library publishes, and what importing it costs."""

import subprocess
import sys

import pytest

import alexnet_jax
from alexnet_jax import visualize

PUBLIC = {
    *("init", "apply", "apply_train", "update_batch_stats"),
    *("activations", "activations_train"),
    *("load", "read", "save", "export", "LoadedWeights", "Preprocessing"),
    *("Architecture", "Layer", "BatchStats", "Params", "summary"),
    *("make_mesh", "param_shardings", "batch_sharding"),
    *("architectures", "evaluation", "perceptual", "towers", "visualize"),
}
# Modules that importing the package loads, and that Python puts into its namespace.
SUBMODULES = {
    *("architecture", "exports", "forward", "mesh", "model", "ops", "params", "user_code"),
    *("layer_fields", "layer_info", "layer_specs", "layer_type", "layer_windows"),
    *("dense_layers", "image_resize", "preprocessing", "printable", "regular_file"),
    *("selection", "shardings", "suggestion", "weights"),
}


def public_names(module):
    return {name for name in vars(module) if not name.startswith("_")}


def test_the_library_publishes_these_names_and_no_others():
    code = "import alexnet_jax; print(*(n for n in vars(alexnet_jax) if not n.startswith('_')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*run.stdout.split()} == PUBLIC | SUBMODULES


def test_visualize_offers_five_functions_and_imports_matplotlib_when_one_is_used():
    functions = {name for name in public_names(visualize) if callable(getattr(visualize, name))}
    assert functions - {"Architecture", "Path"} == {
        *("draw", "saliency", "grad_cam", "occlusion", "class_images")
    }
    code = "import sys; from alexnet_jax import visualize; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_and_statistics_are_read_by_their_types():
    layer, stats = alexnet_jax.Layer(1, 2), alexnet_jax.BatchStats(3, 4)
    params = {"norm1": layer, "norm1_running": stats}
    get_layer, get_batch_stats = alexnet_jax.params.get_layer, alexnet_jax.params.get_batch_stats
    assert get_layer(params, "norm1") is layer
    assert get_batch_stats(params, "norm1_running") is stats
    with pytest.raises(TypeError, match="norm1_running holds BatchStats, not weights and biases"):
        get_layer(params, "norm1_running")
    with pytest.raises(TypeError, match="norm1 holds Layer, not batch statistics"):
        get_batch_stats(params, "norm1")
