"""A state_dict as people keep it: under a key, with a wrapper's prefix, beside an optimizer."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import alexnet_jax
from tests.support import pickled, weight_files
from tests.support.pickled import dictionary, name, number, program, row, tensor, text

NET = weight_files.TORCHVISION


@pytest.fixture(scope="module")
def tensors():
    return weight_files.state_dict(np.random.default_rng(4))


@pytest.fixture(scope="module")
def expected(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "weights"
    save_file(tensors, path)
    return alexnet_jax.load(path, architecture=NET)[0]


def state(tensors, prefix="", change=lambda name: name):
    """The operations of a state_dict whose names are changed."""
    return pickled.state_dict({prefix + change(key): a for key, a in tensors.items()})[2:-1]


def call(dotted, *arguments):
    return name(dotted) + row(*arguments) + pickled.CALL


def assert_reads(tmp_path, content, tensors, expected):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(pickled.zipped(program(content), tensors))
    params, *_ = alexnet_jax.load(path, architecture=NET)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))


OPTIMIZER = dictionary(
    [
        (
            text("state"),
            dictionary(
                (
                    number(i),
                    dictionary([(text("exp_avg"), tensor(pickled.storage(str(i), 1), [1]))]),
                )
                for i in range(16)
            ),
        )
    ]
)
STORAGE = pickled.storage("0", 4)
PARAMETER = name("torch._utils._rebuild_parameter")
PARAMETER += row(tensor(STORAGE, [4]), b"\x88", pickled.ordered([])) + pickled.CALL
BESIDE = {  # all that torch.load(weights_only=True) admits, and what is often beside it
    "epoch": number(3),
    "optimizer": OPTIMIZER,
    "best": b"G" + bytes(8),
    "none": b"N",
    "yes": b"\x88",
    "large": number(10**40),
    "bytes": call("_codecs.encode", text("\xff" * 300), text("latin1")),
    "more bytes": b"C\x03abc",
    "bytearray": call("builtins.bytearray", b"C\x03abc"),
    "complex": call("builtins.complex", b"G" + bytes(8), b"G" + bytes(8)),
    "set": call("builtins.set", b"](K\x01K\x02e"),
    "protocol 4's set": b"\x8f(K\x01K\x02\x90",
    "frozen": b"(K\x01K\x02\x91",
    "counter": call("collections.Counter", dictionary([(text("a"), b"K\x02")])),
    "defaultdict": call("collections.defaultdict", name("builtins.list")) + b"(K\x01](K\x02eu",
    "ordered": pickled.ordered([(text("a"), b"K\x01")]),
    "size": call("torch.Size", row(b"K\x01", b"K\x02")),
    "dtype": name("torch.bfloat16"),
    "device": call("torch.device", text("cuda"), b"K\x00"),
    "layout": call("torch.serialization._get_layout", text("torch.strided")),
    "parameter": PARAMETER,
    "subclass": call(
        "torch._tensor._rebuild_from_type_v2",
        name("torch._utils._rebuild_tensor_v2"),
        name("torch.Tensor"),
        row(STORAGE, number(0), pickled.numbers([4]), pickled.numbers([1]), b"\x89", b"N"),
        b"}",
    ),
    "complex tensor": tensor(STORAGE, [2]).replace(b"Float", b"ComplexFloat"),
    "quantized": call("torch._utils._rebuild_qtensor", STORAGE, b"K\x00"),
    "sparse": call("torch._utils._rebuild_sparse_tensor", name("torch.Tensor"), b")"),
    "numpy": call("numpy._core.multiarray.scalar", call("numpy.dtype", text("f8")), b"C\x00"),
    "array": pickled.old_numpy(np.ones(3, "f4")),
    "arguments": name("argparse.Namespace") + b")\x81}" + text("lr") + b"G" + bytes(8) + b"sb",
    "path": call("pathlib.PosixPath", text("runs")),
    "time": call("datetime.datetime", b"C\x0a" + bytes(10)),
    "nested": row(row(row(b"K\x01"))),
}


@pytest.mark.parametrize(
    "key", ["state_dict", "model", "model_state_dict", "net", "ema", "a.b", "Мой", "0", "a\nb"]
)
def test_it_is_found_under_any_key_beside_all_that_torch_admits(
    tmp_path, tensors, expected, capsys, key
):
    pairs = [(text(one), content) for one, content in BESIDE.items()]
    pairs.insert(5, (text(key), state(tensors)))
    assert_reads(tmp_path, dictionary(pairs), tensors, expected)
    shown = key.replace("\n", "\\n")
    assert f"16 are the network, under {shown}/; left out are" in capsys.readouterr().err


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "model.",
        "net.",
        "backbone.",
        "model._orig_mod.module.",
        "student.features.backbone.",
    ],
)
def test_prefixes_of_wrappers_are_dropped(tmp_path, tensors, expected, prefix):
    assert_reads(tmp_path, state(tensors, prefix), tensors, expected)
    lightning = dictionary([(text("state_dict"), state(tensors, prefix))])
    assert_reads(tmp_path, lightning, tensors, expected)
    save_file({prefix + key: array for key, array in tensors.items()}, tmp_path / "weights")
    params, *_ = alexnet_jax.load(tmp_path / "weights", architecture=NET)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), params, expected))


def parts(tensors):
    """A state_dict for each part of the network; the storages are numbered as in the whole."""
    storages = {key: str(i) for i, key in enumerate(tensors)}
    return dictionary(
        (
            text(part),
            pickled.ordered(
                (
                    text(key[len(part) + 1 :]),
                    tensor(pickled.storage(storages[key], a.size), a.shape),
                )
                for key, a in tensors.items()
                if key.startswith(part)
            ),
        )
        for part in ("features", "classifier")
    )


SHAPES = {
    "wrapped features": lambda t: state(
        t, change=lambda key: key.replace("features.", "features.module.")
    ),
    "compiled layers": lambda t: state(
        t, change=lambda key: key.replace(".weight", "._orig_mod.weight")
    ),
    "a tuple": lambda t: row(number(3), state(t)),
    "a list": lambda t: pickled.listed(OPTIMIZER, state(t)),
    "a list in a dictionary": lambda t: dictionary([(text("a"), pickled.listed(b"N", state(t)))]),
    "parts": parts,
    "the same twice": lambda t: dictionary(
        [(text("model"), state(t) + b"q\x07"), (text("best"), b"h\x07")]
    ),
    "keys that nothing can hash": lambda t: (
        state(t)[:-1] + b")\x85\x85N" + text("epoch") + b"K\x03u"
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_found_in_any_container(tmp_path, tensors, expected, shape):
    assert_reads(tmp_path, SHAPES[shape](tensors), tensors, expected)


def two(tensors):
    return dictionary([(text("model"), state(tensors)), (text("ema"), state(tensors))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (two, "2 networks, under model/, ema/: save one of them in a file of its own"),
        (
            lambda t: state(t)[:-1] + state(t, "teacher.")[len(pickled.ordered([])) - 1 :],
            "2 networks, under the top, teacher.",
        ),
        (
            lambda t: dictionary([(text("optimizer"), OPTIMIZER)]),
            "none of its 16 tensors has a name of torchvision's AlexNet, such as "
            r"features.0.weight: it has optimizer/state/0/exp_avg, .* \.\.\.",
        ),
        (lambda t: dictionary([(text("epoch"), b"K\x03")]), "it holds no tensors"),
        (
            lambda t: state(t)[:-1] + text("attention.weight") + tensor(STORAGE, [4]) + b"u",
            "it has attention.weight, which torchvision's AlexNet has not",
        ),
        (
            lambda t: dictionary([(text("a"), state(dict(list(t.items())[1:])))]),
            "a/features.0.weight is missing, of conv1",
        ),
        (
            lambda t: dictionary(
                (text(key), state(dict(list(t.items())[1:]))) for key in ("a", "b")
            ),
            "parts of 2 networks: a/features.0.weight is missing, of conv1; b/features",
        ),
        (
            lambda t: call("mine.AlexNet"),
            r"mine.AlexNet, which is refused: save the state_dict\(\) of the model alone",
        ),
        (lambda t: call("mine.\x1b[2JNet"), r"it asks for mine.\\x1b\[2JNet, which is refused"),
    ],
)
def test_what_is_found_is_listed_if_it_is_not_one_network(tmp_path, tensors, content, message):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(pickled.zipped(program(content(tensors)), tensors))
    with pytest.raises(ValueError, match=f"checkpoint.pth: .*{message}") as caught:
        alexnet_jax.load(path, architecture=NET)
    assert len(str(caught.value)) < 450
