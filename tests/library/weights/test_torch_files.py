"""Files in the repository that torch wrote; and, where torch is installed, all that it writes.

`torch_files/` beside this file holds the state_dict of `module()` in both formats of torch.save.
"""

from pathlib import Path

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.layer_specs import Conv, Dense, Flatten, MaxPool, Output, Relu
from tests.support import pickled

NET = Architecture(
    "TORCH_TINY",
    image_sizes=(27,),
    towers=1,
    layers=(
        Conv("conv1", 4, kernel=3, stride=2, padding=(1, 1)),  # 14 x 14 x 4
        Relu(),
        MaxPool(),  # 6 x 6 x 4
        Conv("conv2", 5, kernel=3, padding=(1, 1)),
        Relu(),
        Conv("conv3", 6, kernel=3, padding=(1, 1)),
        Relu(),
        Conv("conv4", 4, kernel=3, padding=(1, 1)),
        Relu(),
        Conv("conv5", 3, kernel=3, padding=(1, 1)),
        Relu(),
        MaxPool(),  # 2 x 2 x 3
        Flatten(),
        Dense("fc6", 7),
        Relu(),
        Dense("fc7", 6),
        Relu(),
        Output("fc8", 5),
    ),
)
NUMBERS = ("features.0", "features.3", "features.6", "features.8", "features.10")
NUMBERS += ("classifier.1", "classifier.4", "classifier.6")
SHAPES = ((4, 3, 3, 3), (5, 4, 3, 3), (6, 5, 3, 3), (4, 6, 3, 3), (3, 4, 3, 3))
SHAPES += ((7, 12), (6, 7), (5, 6))
FILES = Path(__file__).parent / "torch_files"
LOGITS = [-0.5282725, -0.9148813, 0.9270616, 0.1231264, -1.2498105]  # of `image()`, by torch 2.13


def waves(i, shape):
    """Numbers that differ everywhere, for the i-th array."""
    return np.sin(0.37 * (i + 1) * np.arange(1, np.prod(shape) + 1)).reshape(shape)


def state():
    """{name: array} in the order and axes of torch."""
    arrays = {}
    for i, (number, shape) in enumerate(zip(NUMBERS, SHAPES)):
        scale = 3 / np.prod(shape[1:]) ** 0.5
        arrays[f"{number}.weight"] = (scale * waves(2 * i, shape)).astype(np.float32)
        arrays[f"{number}.bias"] = (0.1 * waves(2 * i + 1, shape[:1])).astype(np.float32)
    return arrays


def image():
    return waves(40, (27, 27, 3)).astype(np.float32)


def module(torch):
    """The network as a PyTorch module, laid out like torchvision's AlexNet."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2)]
            layers += [nn.Conv2d(4, 5, 3, 1, 1), nn.ReLU(), nn.Identity()]
            for maps_in, maps in ((5, 6), (6, 4), (4, 3)):
                layers += [nn.Conv2d(maps_in, maps, 3, 1, 1), nn.ReLU()]
            self.features = nn.Sequential(*layers, nn.MaxPool2d(3, 2))
            layers = [nn.Dropout(), nn.Linear(12, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 6)]
            self.classifier = nn.Sequential(*layers, nn.ReLU(), nn.Linear(6, 5))

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    net = Net().eval()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in state().items()})
    return net


def our_logits(params):
    apply = jax.jit(lambda params, x: alexnet_jax.apply(params, x, architecture=NET))
    return np.asarray(apply(params, image()[None]))[0]


def test_files_that_torch_wrote_hold_its_numbers_and_give_its_logits():
    zipped, _, preprocessing = alexnet_jax.load(FILES / "zip.pth", architecture=NET)
    legacy, *_ = alexnet_jax.load(FILES / "row.pth", architecture=NET)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), zipped, legacy))
    assert preprocessing.input_size == 27
    kernels = np.asarray(zipped["conv2"].weights)
    assert (kernels.transpose(3, 2, 0, 1) == state()["features.3.weight"]).all()
    np.testing.assert_allclose(our_logits(zipped), LOGITS, rtol=1e-5)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_all_that_torch_saves_is_loaded(torch, tmp_path, zipped, kind):
    net = module(torch)
    saved = torch.nn.DataParallel(net).to(getattr(torch, kind)).state_dict()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9).state_dict()
    checkpoint = {
        "epoch": 3,
        "state_dict": saved,
        "best": torch.tensor(1.5),
        "optimizer": optimizer,
    }
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)
    params, *_ = alexnet_jax.load(path, architecture=NET)
    with torch.no_grad():
        expected = net.float()(torch.from_numpy(image().transpose(2, 0, 1)[None]))[0].numpy()
    np.testing.assert_allclose(our_logits(params), expected, rtol=1e-5, atol=1e-5)


def wrapped(torch, net, kind):
    """The network as Lightning, torch.compile and DataParallel save it."""
    if kind == "compile":
        return torch.compile(net).state_dict()
    if kind == "compile and DataParallel":
        return torch.compile(torch.nn.DataParallel(net)).state_dict()
    lightning = torch.nn.Module()
    lightning.model = net
    lightning.loss = torch.nn.CrossEntropyLoss(weight=torch.ones(5))
    return lightning.state_dict()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile
@pytest.mark.parametrize("kind", ["compile", "compile and DataParallel", "Lightning"])
def test_wrapped_networks_beside_all_that_torch_admits_are_found(torch, tmp_path, kind):
    net = module(torch)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(1, 3, 27, 27)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": wrapped(torch, net, kind),
        "optimizer_states": [optimizer.state_dict()],
        "rng": torch.get_rng_state(),
        "values": [torch.Size([1]), torch.bfloat16, torch.device("cpu"), {1}, 1 + 2j, b"b", None],
        "tensors": [torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse()],
        "parameter": torch.nn.Parameter(torch.ones(3)),
    }
    torch.save(checkpoint, tmp_path / "checkpoint.ckpt")
    assert torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)
    params, *_ = alexnet_jax.load(tmp_path / "checkpoint.ckpt", architecture=NET)
    with torch.no_grad():
        expected = net(torch.from_numpy(image().transpose(2, 0, 1)[None]))[0].numpy()
    np.testing.assert_allclose(our_logits(params), expected, rtol=1e-5, atol=1e-5)


def test_torch_reads_the_files_that_other_tests_make_by_hand(torch, tmp_path):
    arrays = state()
    files = {
        "zip": pickled.zipped(pickled.state_dict(arrays), arrays),
        "row": pickled.in_a_row(pickled.state_dict(arrays, b"N"), arrays),
        "tar": pickled.in_a_tar(arrays),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        read = torch.load(tmp_path / name, weights_only=False)
        assert read.keys() == arrays.keys()
        for key, array in arrays.items():
            assert (read[key].numpy() == array).all()
