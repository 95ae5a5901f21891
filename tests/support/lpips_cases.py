"""Weights and images by a seed, and what the package `lpips` 0.1.4 makes of them.

Regenerates tests/library/lpips/ in the environment of docs/weights.md with `lpips` in it:

    python -m tests.support.lpips_cases
"""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "library" / "lpips"
EXPECTED = FOLDER / "expected.json"
LINEAR = FOLDER / "linear.pth"
SHAPES = ((3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3))
SIZES = ((64, 64), (67, 131))
COLUMNS = slice(3, None, 16)
"""The rows and columns at which gradients are compared."""


def convolutions():
    """Kernels [maps, maps_in, size, size] and biases [maps] of the five convolutions, float32."""
    rng, layers = np.random.default_rng(18), []
    for maps_in, maps, size in SHAPES:
        scale = (2 / (maps_in * size**2)) ** 0.5
        kernels = scale * rng.normal(size=(maps, maps_in, size, size))
        layers.append((np.float32(kernels), np.float32(0.1 * rng.normal(size=maps))))
    return layers


def linear_weights():
    """The weights [maps] of the five layers, float32; a third are 0, as in the package."""
    rng = np.random.default_rng(19)
    return [np.float32(rng.uniform(0, 1, maps) * (rng.random(maps) > 0.3)) for _, maps, _ in SHAPES]


def image_pairs(height, width):
    """Two pairs of images [2, height, width, 3] from -1 to 1: noise; smooth and noisy."""
    rng = np.random.default_rng(height)
    a, b = rng.uniform(-1, 1, (2, 2, height, width, 3))
    rows, columns = np.mgrid[:height, :width]
    a[1] = np.sin(rows / 7 + columns / 11)[..., None] * [0.9, 0.5, -0.7]
    b[1] = np.clip(a[1] + 0.2 * b[1], -1, 1)
    return np.float32(a), np.float32(b)


def main():
    """Write what the package computes in float64, and a file of linear weights by torch."""
    import lpips
    import torch

    def nchw(images):
        return torch.from_numpy(images).double().permute(0, 3, 1, 2)

    model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).double()
    convs = [module for module in model.net.modules() if isinstance(module, torch.nn.Conv2d)]
    state = {
        f"lin{i}.model.1.weight": torch.from_numpy(weights).reshape(1, -1, 1, 1)
        for i, weights in enumerate(linear_weights())
    }
    with torch.no_grad():
        for conv, arrays in zip(convs, convolutions(), strict=True):
            conv.weight[:], conv.bias[:] = (torch.from_numpy(array) for array in arrays)
    model.load_state_dict(state, strict=False)
    torch.save(state, LINEAR, _use_new_zipfile_serialization=False)
    expected = {"versions": {"torch": torch.__version__, "lpips": "0.1.4"}}
    for size in SIZES:
        a, b = (nchw(images) for images in image_pairs(*size))
        a.requires_grad_()
        distances = model(a, b)
        [gradient] = torch.autograd.grad(distances.sum(), a)
        spatial = lpips.LPIPS(net="alex", pnet_rand=True, spatial=True, verbose=False).double()
        spatial.load_state_dict(model.state_dict())
        baseline = lpips.LPIPS(net="alex", pnet_rand=True, lpips=False, verbose=False).double()
        baseline.net.load_state_dict(model.net.state_dict())
        maps = spatial(a, b)[:, 0, COLUMNS, COLUMNS]
        expected["x".join(map(str, size))] = {
            "distances": distances.flatten().tolist(),
            "unweighted": baseline(a, b).flatten().tolist(),
            "maps": maps.detach().numpy().round(9).tolist(),
            "gradient": gradient.permute(0, 2, 3, 1)[:, COLUMNS, COLUMNS].numpy().tolist(),
        }
    EXPECTED.write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
