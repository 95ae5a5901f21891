"""Files of torchvision in every format that torch has had, made without torch."""

import zipfile

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import alexnet_jax
from alexnet_jax import architectures, weights
from tests.support import other_programs, pickled
from tests.support.tiny import narrow

NET = narrow(architectures.TORCHVISION)
PADDING = other_programs.PADDING | {"conv1": 2}
NUMBERS = {f"conv{i + 1}": f"features.{n}" for i, n in enumerate((0, 3, 6, 8, 10))}
NUMBERS |= {"fc6": "classifier.1", "fc7": "classifier.4", "fc8": "classifier.6"}
DROPOUT_LAST = NUMBERS | {"fc6": "classifier.0", "fc7": "classifier.3"}


@pytest.fixture(scope="module")
def arrays():
    """Each layer's weights and biases as torch has them."""
    widths = (4, 12, 24, 16, 16, 32, 32, 7)
    return other_programs.weights(np.random.default_rng(3), widths, groups={})


def to_state_dict(arrays, numbers=NUMBERS):
    return {
        f"{numbers[layer]}.{kind}": array
        for layer, pair in arrays.items()
        for kind, array in zip(("weight", "bias"), pair)
    }


def zipped(tensors):
    return pickled.zipped(pickled.state_dict(tensors), tensors)


def in_a_row(tensors):
    return pickled.in_a_row(pickled.state_dict(tensors, b"N"), tensors)


def in_a_tar_of_parameters(tensors):
    return pickled.in_a_tar(tensors, parameters=True)


def load(tmp_path, data, architecture=NET):
    path = tmp_path / "weights"
    path.write_bytes(data)
    return alexnet_jax.load(path, architecture=architecture)


def assert_holds(params, arrays):
    """Compare every number: kernels are [row, column, in, out], features in order of rows."""
    for layer, (kernels, biases) in arrays.items():
        ours = np.asarray(params[layer].weights)
        if layer.startswith("conv"):
            for o, i, row, column in np.ndindex(kernels.shape):
                assert ours[row, column, i, o] == kernels[o, i, row, column]
        elif layer == "fc6":
            for o, c, row, column in np.ndindex(len(kernels), 16, 6, 6):
                assert ours[16 * (6 * row + column) + c, o] == kernels[o, 36 * c + 6 * row + column]
        else:
            assert (ours == kernels.T).all()
        assert (np.asarray(params[layer].biases) == biases).all()


@pytest.mark.parametrize(
    "file", [zipped, in_a_row, pickled.in_a_tar, in_a_tar_of_parameters], ids=lambda f: f.__name__
)
def test_every_format_of_torch_gives_every_number_its_place(tmp_path, arrays, file):
    params, architecture, _ = load(tmp_path, file(to_state_dict(arrays)))
    assert architecture == NET
    assert_holds(params, arrays)


def test_logits_are_those_of_the_same_net_in_torchs_axes(tmp_path, arrays, rng):
    save_file(to_state_dict(arrays), tmp_path / "weights")
    params, net, preprocessing = alexnet_jax.load(tmp_path / "weights", architecture=NET)
    picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    crop = (picture[16:240, 16:240] / 255 - mean) / std
    x = crop.transpose(2, 0, 1) * 70  # the arrays are made for such images
    expected = other_programs.logits(other_programs.TORCHVISION, arrays, x, {}, PADDING)
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, 70 * x, architecture=net))
    ours = apply(params, preprocessing(picture[None]))[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_data_parallel_names_checkpoints_and_half_precision_make_the_same_net(tmp_path, arrays):
    parallel = {
        f"module.{name}".replace("features", "features.module"): array.astype(np.float32)
        for name, array in to_state_dict(arrays).items()
    }
    state = pickled.state_dict(parallel)[2:-1]
    pairs = [(pickled.text("epoch"), b"K\x07"), (pickled.text("state_dict"), state)]
    checkpoint = pickled.program(pickled.dictionary(pairs))
    params, *_ = load(tmp_path, pickled.zipped(checkpoint, parallel))
    assert_holds(params, arrays)

    half = {name: array.astype(np.float16) for name, array in to_state_dict(arrays).items()}
    data = pickled.state_dict(half).replace(b"FloatStorage", b"HalfStorage")
    params, *_ = load(tmp_path, pickled.zipped(data, half))
    assert params["conv1"].weights.dtype == np.float32
    assert pytest.approx(arrays["fc8"][0], rel=1e-3) == np.asarray(params["fc8"].weights).T


def test_the_published_net_comes_with_any_number_of_classes(tmp_path, arrays, monkeypatch):
    published = NET.with_classes(1000)
    monkeypatch.setattr(weights.torchvision, "TORCHVISION", published)
    _, architecture, preprocessing = load(tmp_path, zipped(to_state_dict(arrays)), None)
    assert architecture == NET
    assert (preprocessing.stored_size, preprocessing.input_size) == (256, 224)
    assert preprocessing.resize == "shorter side"

    _, architecture, _ = load(tmp_path, zipped(to_state_dict(arrays, DROPOUT_LAST)), None)
    assert architecture.name == "TORCHVISION_DROPOUT_BEHIND"
    names = [info.name for info in architecture.layer_info()]
    assert names[names.index("fc6") :] == [
        "fc6",
        "relu6",
        "dropout6",
        "fc7",
        "relu7",
        "dropout7",
        "fc8",
    ]


def test_a_missing_or_wrong_layer_is_named(tmp_path, arrays):
    good = to_state_dict(arrays)
    for change, message in [
        ({"features.6.bias": None}, "features.6.bias is missing, of conv3"),
        ({"features.12.weight": good["features.0.bias"]}, "has features.12.weight, which"),
        (
            {"features.3.weight": good["features.3.weight"][1:]},
            r"conv2 has weights of \[11, 4, 5, 5\]",
        ),
        ({"classifier.6.bias": good["classifier.6.bias"][1:]}, r"biases of \[6\], but .* \[7\]"),
        ({"classifier.6.bias": np.arange(7)}, "fc8 has numbers of type int64"),
    ]:
        tensors = {k: np.ascontiguousarray(v) for k, v in (good | change).items() if v is not None}
        save_file(tensors, tmp_path / "weights")
        with pytest.raises(ValueError, match=f"{tmp_path}/weights: .*{message}"):
            alexnet_jax.load(tmp_path / "weights", architecture=NET)


def with_first(tensors, operations):
    """Return a correct file, but for a first tensor that the operations make."""
    pairs = [(pickled.text("features.0.weight"), operations)]
    for i, (key, array) in list(enumerate(tensors.items()))[1:]:
        value = pickled.tensor(pickled.storage(str(i), array.size), array.shape)
        pairs.append((pickled.text(key), value))
    return pickled.zipped(pickled.program(pickled.ordered(pairs)), tensors)


def calls(dotted, *arguments):
    return pickled.name(dotted) + pickled.row(*arguments) + pickled.CALL


HOSTILE = {
    "a command": (calls("os.system", pickled.text("touch MARK")), "asks for os.system"),
    "evaluation": (calls("builtins.eval", pickled.text("open('MARK', 'w')")), "builtins.eval"),
    "a whole module": (calls("torchvision.models.alexnet.AlexNet"), "torchvision.models.alexnet"),
    "an attribute": (pickled.name("torch._utils._rebuild_tensor_v2.__globals__"), "asks for"),
    "state for a class": (
        pickled.name("torch.nn.parameter.Parameter") + b"N}" + pickled.text("data") + b"Ns\x86b",
        "features.0.weight is missing",
    ),
    "an instance": (b"(ios\nsystem\n", "asks for os.system"),
    "eight terabytes": (b"\x96" + (2**43).to_bytes(8, "little"), "operation .* is refused"),
    "a storage that is none": (pickled.tensor(b"N", [1]), "features.0.weight is missing"),
    "numbers of nothing": (pickled.tensor(pickled.storage("99", 1), [1]), "data/99 is missing"),
    "more than there is": (
        pickled.tensor(pickled.storage("0", 1), [10**6, 10**6]),
        "larger than its storage",
    ),
    "one number repeated": (
        pickled.tensor(pickled.storage("0", 1), [10**6, 10**6], [0, 0]),
        "larger than its storage",
    ),
    "what stands before": (
        pickled.tensor(pickled.storage("0", 1), [3], [-1], 5),
        "its shape or strides are not sizes",
    ),
    "no end": (b"(" * 1000, "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_pickle_does_nothing_and_is_refused(tmp_path, arrays, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    operations, message = HOSTILE[case]
    with pytest.raises(ValueError, match=f"weights.*({message})") as caught:
        load(tmp_path, with_first(to_state_dict(arrays), operations))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_archives_that_are_bombs_or_cut_off_are_refused(tmp_path, arrays):
    tensors = to_state_dict(arrays)
    state = pickled.state_dict(tensors)
    compressed = pickled.zipped(state, tensors, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed, which PyTorch never does"):
        load(tmp_path, compressed)
    for content in (zipped(tensors), in_a_row(tensors), pickled.in_a_tar(tensors)):
        for size in (20, 700, len(content) // 3, 3 * len(content) // 4):
            with pytest.raises(ValueError, match="/weights"):
                load(tmp_path, content[:size])
    damaged = bytearray(zipped(tensors))
    damaged[len(damaged) // 2] ^= 1  # one bit
    with pytest.raises(ValueError, match="Bad CRC-32"):
        load(tmp_path, bytes(damaged))
