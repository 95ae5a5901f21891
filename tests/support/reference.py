"""The paper's formulas as literal loops in float64: slow, plain, the oracle of the tests.

Arrays have the library's axes: maps [batch, height, width, maps].
"""

import jax
import jax.experimental
import numpy as np

# JAX 0.7 has the context manager in `jax.experimental` alone.
enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


def conv(x, kernels, biases, stride=1, before=0, after=0):
    """Each output is the sum over a window of the zero-padded maps, plus a bias."""
    x = np.pad(np.asarray(x, np.float64), [(0, 0), (before, after), (before, after), (0, 0)])
    kernels, biases = np.asarray(kernels, np.float64), np.asarray(biases, np.float64)
    size, _, _, maps = kernels.shape
    rows, columns = ((n - size) // stride + 1 for n in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, maps))
    for b in range(len(x)):
        for i in range(rows):
            for j in range(columns):
                window = x[b, i * stride : i * stride + size, j * stride : j * stride + size]
                for m in range(maps):
                    out[b, i, j, m] = (window * kernels[..., m]).sum() + biases[m]
    return out


def response_norm(a, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """Section 3.3, one map at a time: j runs over the existing ones of the n maps around i."""
    a = np.asarray(a, np.float64)
    out = np.zeros_like(a)
    for i in range(a.shape[-1]):
        total = np.zeros(a.shape[:-1])
        for j in range(max(0, i - n // 2), min(a.shape[-1] - 1, i + n // 2) + 1):
            total += a[..., j] ** 2
        out[..., i] = a[..., i] / (k + alpha * total) ** beta
    return out


def spatial_norm(a, size=5, k=1.0, alpha=1e-3, beta=0.75):
    """The original program's "rnorm": sums over windows of one map, clipped at its edges."""
    a = np.asarray(a, np.float64)
    out, reach = np.zeros_like(a), size // 2
    for i in range(a.shape[1]):
        for j in range(a.shape[2]):
            window = a[:, max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            total = (window**2).sum(axis=(1, 2))
            out[:, i, j] = a[:, i, j] / (k + alpha / size**2 * total) ** beta
    return out


def batch_stats(x):
    """Mean and variance of each map over all images and pixels, one value at a time."""
    x = np.asarray(x, np.float64)
    means, variances = np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
    for m in range(x.shape[-1]):
        values = [value for value in x[..., m].flat]
        means[m] = sum(values) / len(values)
        variances[m] = sum((value - means[m]) ** 2 for value in values) / len(values)
    return means, variances


def batch_norm(x, scaling, batch_stats, epsilon=1e-3):
    """Ioffe and Szegedy (2015), algorithm 1, one map at a time."""
    (gamma, beta), (means, variances) = scaling, batch_stats
    x, out = np.asarray(x, np.float64), np.zeros(x.shape)
    for m in range(x.shape[-1]):
        normalized = (x[..., m] - float(means[m])) / (float(variances[m]) + epsilon) ** 0.5
        out[..., m] = float(gamma[m]) * normalized + float(beta[m])
    return out


def max_pool(x, size=3, stride=2, after=0):
    """The largest value of each window, which may reach `after` pixels past the last ones."""
    rows, columns = ((n + after - size) // stride + 1 for n in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, x.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = window.max(axis=(1, 2))
    return out


def max_pool_gradient(x, cotangent, size=3, stride=2):
    """Each window's cotangent goes to the first of its largest values, row by row."""
    out = np.zeros(x.shape)
    for b, i, j, m in np.ndindex(cotangent.shape):
        window = x[b, i * stride : i * stride + size, j * stride : j * stride + size, m]
        row, column = np.unravel_index(np.argmax(window), window.shape)
        out[b, i * stride + row, j * stride + column, m] += cotangent[b, i, j, m]
    return out


def mean_pool(x, size=3, stride=2, before=0, after=0):
    """The mean of the pixels of each window that are inside the maps."""
    x = np.asarray(x, np.float64)
    _, height, width, maps = x.shape
    rows, columns = ((n + before + after - size) // stride + 1 for n in (height, width))
    out = np.zeros((len(x), rows, columns, maps))
    for i in range(rows):
        for j in range(columns):
            pixels = [
                x[:, row, column]
                for row in range(i * stride - before, i * stride - before + size)
                for column in range(j * stride - before, j * stride - before + size)
                if 0 <= row < height and 0 <= column < width
            ]
            out[:, i, j] = sum(pixels) / len(pixels)
    return out


def locally_connected(x, weights, biases, kernel, stride=1, before=0, after=0):
    """A convolution that takes other kernels and biases at each pixel of its output."""
    x = np.asarray(x, np.float64)
    rows, columns, _, maps = weights.shape
    out = np.zeros((len(x), rows, columns, maps))
    for i in range(rows):
        for j in range(columns):
            kernels = np.asarray(weights[i, j], np.float64).reshape(kernel, kernel, -1, maps)
            here = conv(x, kernels, biases[i, j], stride, before, after)
            out[:, i, j] = here[:, i, j]
    return out


def dense(x, weights, biases):
    """Each output is the sum of all features times its weights, plus a bias."""
    return np.asarray(x, np.float64) @ np.asarray(weights, np.float64) + np.asarray(biases)


def relu(x):
    """f(x) = max(0, x)."""
    return np.maximum(x, 0)


def split_towers(x):
    """The maps of the first tower and those of the second."""
    return np.split(np.asarray(x), 2, axis=-1)


def split_params(layer):
    """Kernels and biases of the first tower, and of the second."""
    return zip(split_towers(layer.weights), split_towers(layer.biases), strict=True)


def tiny_activations(params, images):
    """Some activations of `tests.support.tiny.TINY` at test time."""
    maps = tiny_maps(params, images)
    return maps | tiny_tail(params, maps["relu4"])


def tiny_maps(params, images):
    """Those before `Flatten`, of images of any size, written out tower by tower."""
    halves = [conv(images, w, b, 2, 0, 1) for w, b in split_params(params["conv1"])]
    halves = [max_pool(response_norm(relu(x))) for x in halves]
    activations = {"pool1": np.concatenate(halves, axis=-1)}
    halves = [
        conv(x, w, b, 1, 1, 1)
        for x, (w, b) in zip(halves, split_params(params["conv2"]), strict=True)
    ]
    activations["conv2"] = np.concatenate(halves, axis=-1)
    halves = [response_norm(relu(x)) for x in halves]
    both = np.concatenate(halves, axis=-1)
    halves = [relu(conv(both, w, b, 1, 1, 1)) for w, b in split_params(params["conv3"])]
    activations["relu3"] = np.concatenate(halves, axis=-1)
    halves = [
        conv(x, w, b, 1, 1, 1)
        for x, (w, b) in zip(halves, split_params(params["conv4"]), strict=True)
    ]
    activations["relu4"] = relu(np.concatenate(halves, axis=-1))
    return activations


def tiny_tail(params, relu4):
    """The activations of `tests.support.tiny.TINY` that follow from those of relu4."""
    features = max_pool(relu4).reshape(len(relu4), -1)
    hidden = 0.5 * relu(dense(features, *params["fc6"]))
    hidden = 0.5 * relu(dense(hidden, *params["fc7"]))
    return {"dropout7": hidden, "fc8": dense(hidden, *params["fc8"])}


def tiny_logits(params, images):
    """The logits of `tests.support.tiny.TINY`."""
    return tiny_activations(params, images)["fc8"]


def original_logits(params, images):
    """Net 145 of the original program, written out tower by tower, at test time."""
    halves = [conv(images, w, b, 4, 0, 3) for w, b in split_params(params["conv1"])]
    halves = [relu(max_pool(response_norm(x, alpha=1e-4 / 5))) for x in halves]
    halves = [
        relu(conv(x, w, b, 1, 2, 2))
        for x, (w, b) in zip(halves, split_params(params["conv2"]), strict=True)
    ]
    halves = [max_pool(spatial_norm(response_norm(x, alpha=1e-4 / 5))) for x in halves]
    both = np.concatenate(halves, axis=-1)
    halves = [relu(conv(both, w, b, 1, 1, 1)) for w, b in split_params(params["conv3"])]
    halves = [
        relu(conv(x, w, b, 1, 1, 1))
        for x, (w, b) in zip(halves, split_params(params["conv4"]), strict=True)
    ]
    halves = [
        conv(x, w, b, 1, 1, 1)
        for x, (w, b) in zip(halves, split_params(params["conv5"]), strict=True)
    ]
    halves = [relu(max_pool(x)) for x in halves]
    features = np.concatenate(halves, axis=-1).reshape(len(images), -1)
    hidden = 0.5 * relu(dense(features, *params["fc6"]))
    hidden = 0.5 * relu(dense(hidden, *params["fc7"]))
    return dense(hidden, *params["fc8"])


def caffe_maps(params, images, pool_first):
    """The output of Caffe's conv3, whose two norms run across the maps of both towers."""

    def norm_and_pool(x):
        if pool_first:
            return response_norm(max_pool(x), k=1, alpha=1e-4 / 5)
        return max_pool(response_norm(x, k=1, alpha=1e-4 / 5))

    x = norm_and_pool(relu(conv(images, *params["conv1"], stride=4)))
    halves = [
        relu(conv(x, w, b, 1, 2, 2))
        for x, (w, b) in zip(split_towers(x), split_params(params["conv2"]), strict=True)
    ]
    both = np.concatenate(halves, axis=-1)
    return conv(norm_and_pool(both), *params["conv3"], 1, 1, 1)


def section_5(w, gradients, rates, momentum=0.9, weight_decay=0.0005):
    """The update rule, written out: returns w after each step."""
    v, path = np.zeros_like(w), []
    for gradient, rate in zip(gradients, rates, strict=True):
        v = momentum * v - weight_decay * rate * w - rate * gradient
        w = w + v
        path.append(w)
    return path


def top_k_misses(logits, labels, k):
    """The number of images whose label is not in the top k; ties go to the lower class."""
    count = 0
    for row, label in zip(logits, labels, strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], c))
        count += label not in order[:k]
    return count
