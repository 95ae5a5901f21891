"""Arrays in the axes of other programs become ours, also where each tower is flattened apart."""

import numpy as np

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import Conv, Dense, Flatten, Output, Relu
from alexnet_jax.weights.loaded import convert_params
from tests.support import other_programs

APART = Architecture(  # its towers meet in the logits only
    "APART",
    image_sizes=(7,),
    towers=2,
    layers=(
        Conv("conv1", 4, kernel=3, stride=2),  # 3 x 3 x 4
        Relu(),
        Flatten(),  # 18 features of each tower
        Dense("fc2", 6),
        Relu(),
        Output("fc3", 5),
    ),
)


def test_features_of_towers_that_never_met_are_flattened_tower_by_tower(rng):
    shapes = {"conv1": (4, 3, 3, 3), "fc2": (6, 18), "fc3": (5, 6)}
    arrays = {
        name: (rng.normal(size=shape).astype("f4"), rng.normal(size=shape[:1]).astype("f4"))
        for name, shape in shapes.items()
    }
    image = rng.normal(size=(7, 7, 3)).astype("f4")

    maps = other_programs.convolution(image.transpose(2, 0, 1), *arrays["conv1"], 2, 0, 1)
    features = []
    for tower in (0, 1):  # its maps one after another, each row by row
        inputs = np.maximum(maps[2 * tower : 2 * tower + 2], 0).reshape(18)
        rows = slice(3 * tower, 3 * tower + 3)
        features.append(np.maximum(arrays["fc2"][0][rows] @ inputs + arrays["fc2"][1][rows], 0))
    expected = arrays["fc3"][0] @ np.concatenate(features) + arrays["fc3"][1]

    params = convert_params(APART, arrays, outputs_first=True)
    [ours] = alexnet_jax.apply(params, image[None], architecture=APART)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
