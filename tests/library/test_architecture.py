"""Shapes and counts of an architecture, against published figures."""

import re

import jax
import numpy as np
import pytest
from jax import lax

import alexnet_jax
from alexnet_jax.architecture import Architecture
from alexnet_jax.architectures import DIGITS, PAPER
from alexnet_jax.layer_specs import BatchNorm, Conv, Flatten, MaxPool, Output, Relu
from tests.support.own_layers import GlobalMean
from tests.support.tiny import TINY

# Per layer: parameters, and millions of multiply-accumulates per image.
PUBLISHED = {
    "conv1": (34_944, 105.4),
    "conv2": (307_456, 223.9),
    "conv3": (885_120, 149.5),
    "conv4": (663_936, 112.1),
    "conv5": (442_624, 74.8),
    "fc6": (37_752_832, 37.7),
    "fc7": (16_781_312, 16.8),
    "fc8": (4_097_000, 4.1),
}


def test_the_papers_net_has_the_published_counts():
    infos = {info.name: info for info in PAPER.layer_info() if info.weight_shape}
    assert {name: info.parameters for name, info in infos.items()} == {
        name: count for name, (count, _) in PUBLISHED.items()
    }
    for name, (_, millions) in PUBLISHED.items():
        assert round(infos[name].multiply_accumulates / 1e6, 1) == millions
    assert sum(info.multiply_accumulates for info in PAPER.layer_info()) == 724_406_816
    params = jax.eval_shape(alexnet_jax.init, jax.random.key(0))  # allocates nothing
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 60_965_224


@pytest.mark.parametrize("size", [224, 227])
def test_the_maps_shrink_as_in_figure_2(size):
    shapes = {info.name: info.output_shape for info in PAPER.layer_info(size)}
    assert shapes["conv1"] == (55, 55, 96)
    assert shapes["pool1"] == (27, 27, 96)
    assert shapes["conv2"] == (27, 27, 256)
    assert shapes["pool2"] == (13, 13, 256)
    assert shapes["conv3"] == shapes["conv4"] == (13, 13, 384)
    assert shapes["conv5"] == (13, 13, 256)
    assert shapes["pool5"] == (6, 6, 256)
    assert shapes["flatten5"] == (9216,)
    assert shapes["fc6"] == shapes["fc7"] == (4096,)


def test_kernels_have_the_sizes_of_section_3_5():
    shapes = {info.name: info.weight_shape for info in PAPER.layer_info() if info.weight_shape}
    assert shapes["conv1"] == (11, 11, 3, 96)
    assert shapes["conv2"] == (5, 5, 48, 256)
    assert shapes["conv3"] == (3, 3, 256, 384)
    assert shapes["conv4"] == (3, 3, 192, 384)
    assert shapes["conv5"] == (3, 3, 192, 256)


def test_the_summary_shows_totals_and_where_the_towers_meet():
    table = alexnet_jax.summary(PAPER)
    assert re.search(r"total +60,965,224 +724,406,816", table)
    lines = table.splitlines()
    meeting = [i for i, line in enumerate(lines) if "towers meet" in line]
    after = [lines[i + 1].split()[0] for i in meeting]
    assert after == ["conv3", "flatten5", "fc7"]
    assert "towers are summed" in next(line for line in lines if line.startswith("fc8"))


def test_two_towers_can_have_any_number_of_classes():
    net = PAPER.with_classes(5)
    assert net.classes == 5
    assert net.layer_info()[-1].weight_shape == (4096, 5)
    assert PAPER.classes == 1000


def net(*layers, towers=2):
    return Architecture("NET", (9,), towers, (*layers, Flatten(), Output("fc", 3)))


CONV = Conv("conv1", 4, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: net(Conv("conv1", 7, 3)), "NET: the 7 maps of conv1 cannot be shared by 2 towers"),
        (
            lambda: net(Conv("conv1", 4, 11)),
            "NET: conv1 needs at least 11 pixels, and only 9 are left",
        ),
        (lambda: net(CONV, CONV), "NET: two layers are named conv1"),
        (
            lambda: net(CONV, BatchNorm(), Conv("norm1_running", 4, 3)),
            "NET: norm1_running cannot be the name of a layer: names that end in _running are "
            "those of running statistics",
        ),
        (
            lambda: TINY.layer_info((9, 9, 3)),
            "image_size must be a number or (height, width), not (9, 9, 3)",
        ),
        (lambda: TINY.layer_info(9.0), "image_size must be a whole number above 0, not 9.0"),
        (lambda: TINY.layer_info("9"), "image_size must be a whole number above 0, not '9'"),
        (lambda: BatchNorm(momentum=2), "BatchNorm's momentum must be from 0 to 1, not 2"),
        (lambda: BatchNorm(epsilon=-1), "BatchNorm's epsilon must be above 0, not -1"),
        (lambda: Architecture("NET", (9,), 1, (Relu(),)), "NET must end in an Output layer"),
        (lambda: Architecture("NET", (9,), 1, ()), "NET must end in an Output layer"),
        (
            lambda: Architecture("NET", (9,), 1, (Output("fc", 3),)),
            "NET: fc needs features: a Flatten before it",
        ),
        (
            lambda: net(CONV, Flatten(), Conv("conv2", 4, 3)),
            "NET: conv2 needs maps, and comes after Flatten",
        ),
        (
            lambda: net(Flatten(), Output("fc1", 3)),
            "NET: fc1 is an Output, and other layers follow it",
        ),
        (lambda: net(Relu), "layer 1 of NET is the class Relu: write Relu(...)"),
        (lambda: net([CONV, Relu()]), "layer 1 of NET is a list of layers: put a * before it"),
        (lambda: net("relu"), "layer 1 of NET is not a layer of alexnet_jax.layer_specs: 'relu'"),
        (lambda: net(towers=0), "NET's towers must be a whole number above 0, not 0"),
        (
            lambda: Architecture("NET", 9, 1, Output("fc", 3)),
            "NET's layers must be a list, not Output(name='fc', classes=3, std=0.01, bias=0.0)",
        ),
        (lambda: Architecture("NET", (), 1, ()), "NET needs an image size"),
        (
            lambda: Architecture("NET", (9, "b"), 1, ()),
            "NET's image size must be a whole number above 0, not 'b'",
        ),
        (lambda: Architecture("", 9, 1, ()), "the name of an Architecture must be text, not ''"),
        (
            lambda: Architecture("NET", (9, 8), 1, (Flatten(), Output("fc", 3))),
            "NET: fc has weights and biases of ((243, 3), (3,)) for images of 9 pixels square, and "
            "of ((192, 3), (3,)) for 8; image sizes must agree in them",
        ),
    ],
)
def test_a_list_that_makes_no_net_is_refused_by_layer_when_it_is_made(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_a_net_is_made_of_a_list_one_image_size_and_numpys_numbers():
    layers = [Conv("conv1", np.int64(4), (3, 3)), Flatten(), Output("fc", 3)]
    made = Architecture("NET", np.int32(9), 2, layers)
    assert made == net(CONV)
    assert made.image_sizes == (9,)
    assert type(made.layers[0].maps) is int


def test_layers_of_one_kind_in_a_row_have_names_of_their_own():
    """The second number is that of VGG's layers, whose own names keep both numbers."""
    names = net(CONV, Relu(), MaxPool(), Relu(), Relu(), MaxPool(2)).layer_names()
    assert " ".join(names) == "conv1 relu1 pool1 relu1_2 relu1_3 pool1_2 flatten1 fc"
    vgg = net(Conv("conv1_1", 4, 3), Relu(), Conv("conv1_2", 4, 3), Relu(), MaxPool(2))
    assert vgg.layer_names()[:5] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1_2")


@pytest.mark.parametrize("pixels", [8, 9, 10, 11])
@pytest.mark.parametrize(("window", "stride"), [(3, 1), (3, 2), (2, 2), (5, 4), (4, 1), (1, 2)])
def test_the_padding_same_is_that_of_lax_and_of_tensorflow(pixels, window, stride):
    same = lambda kind: Architecture(  # noqa: E731
        "NET", pixels, 1, (kind, Flatten(), Output("fc", 3))
    ).layers[0]
    [expected] = {*lax.padtype_to_pads((pixels,), (window,), (stride,), "SAME")}
    conv = same(Conv("conv1", 4, window, stride, padding="same"))
    assert conv.padding == expected
    if max(expected) < window:
        pool = same(MaxPool(window, stride, padding="SAME"))
        assert pool.padding == expected


def test_the_padding_same_is_refused_where_image_sizes_would_differ_in_it():
    conv, output = Conv("conv1", 4, 3, 2, padding="SAME"), Output("fc", 3)
    sentence = (
        'NET: the padding "SAME" of conv1 is (0, 1) at 8 pixels and (1, 1) at 9 pixels; '
        "write one of them"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Architecture("NET", (8, 9), 1, (conv, Flatten(), output))
    agreeing = Architecture("NET", (8, 10), 1, (conv, GlobalMean(), output))
    assert agreeing.layers[0].padding == (0, 1)


def test_another_image_size_is_refused():
    with pytest.raises(ValueError, match="PAPER takes images of 224 x 224 or 227 x 227 pixels"):
        PAPER.layer_info(256)


def test_nets_are_found_by_name():
    assert alexnet_jax.architectures.by_name("PAPER") is PAPER
    with pytest.raises(ValueError, match="there is no net named 'ALEX'; python -m alexnet_jax "):
        alexnet_jax.architectures.by_name("ALEX")


def test_every_net_is_a_value_that_can_be_compared_and_hashed():
    assert len({PAPER, DIGITS, TINY, PAPER.with_classes(1000)}) == 3


def test_the_size_of_an_image_may_be_a_list():
    assert TINY.layer_info([9, 7], last="conv1") == TINY.layer_info((9, 7), last="conv1")
