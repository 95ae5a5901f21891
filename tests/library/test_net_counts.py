"""Parameters and multiply-accumulates of every network, by hand and as published."""

import pytest

from alexnet_jax import architectures
from alexnet_jax.architectures import NETS

# Parameters by layer: kernel x kernel x input maps x output maps, and a bias per output map.
TWO_TOWERS = [
    11 * 11 * 3 * 96 + 96,
    5 * 5 * 48 * 256 + 256,
    3 * 3 * 256 * 384 + 384,
    3 * 3 * 192 * 384 + 384,
    3 * 3 * 192 * 256 + 256,
    6 * 6 * 256 * 4096 + 4096,
    4096 * 4096 + 4096,
    4096 * 1000 + 1000,
]
ONE_TOWER_OF_2014 = [
    11 * 11 * 3 * 64 + 64,
    5 * 5 * 64 * 192 + 192,
    3 * 3 * 192 * 384 + 384,
    3 * 3 * 384 * 256 + 256,
    3 * 3 * 256 * 256 + 256,
    *TWO_TOWERS[5:],
]
CIFAR = [
    5 * 5 * 3 * 32 + 32,
    5 * 5 * 32 * 32 + 32,
    5 * 5 * 32 * 64 + 64,
    4 * 4 * 64 * 10 + 10,
]
CIFAR_CROPPED = [5 * 5 * 3 * 64 + 64, 5 * 5 * 64 * 64 + 64]
KERAS = [
    34_944,
    614_656,
    885_120,
    1_327_488,
    884_992,
    1_052_672,
    16_781_312,
    40_970,
]  # printed in the notebook


def with_norm(count, maps):
    """A convolution and its batch norm: scale, offset, running mean and variance of each map."""
    return count, 4 * maps


COUNTS = {
    "PAPER": (60_965_224, TWO_TOWERS),
    "ORIGINAL": (60_965_224, TWO_TOWERS),
    "ORIGINAL_PLAIN_CONV2": (60_965_224, TWO_TOWERS),
    "ONE_GPU": (
        59_798_312,
        [
            11 * 11 * 3 * 48 + 48,
            5 * 5 * 48 * 128 + 128,
            3 * 3 * 128 * 192 + 192,
            3 * 3 * 192 * 192 + 192,
            3 * 3 * 192 * 256 + 256,
            *TWO_TOWERS[5:],
        ],
    ),
    "NON_OVERLAPPING_POOL": (60_965_224, TWO_TOWERS),
    "NO_NORM": (60_965_224, TWO_TOWERS),
    "NO_COMMUNICATION": (
        60_714_408,
        [
            11 * 11 * 3 * 96 + 96,
            5 * 5 * 48 * 320 + 320,  # 160 maps of each tower
            3 * 3 * 160 * 384 + 384,
            3 * 3 * 192 * 384 + 384,
            3 * 3 * 192 * 256 + 256,
            6 * 6 * 128 * 8192 + 8192,  # 4096 features of each tower, from its own maps
            4096 * 4096 + 4096,  # 2048 features of each, from its own 4096
            4096 * 1000 + 1000,
        ],
    ),
    "SIX_CONV": (61_555_304, [*TWO_TOWERS[:5], 3 * 3 * 256 * 256 + 256, *TWO_TOWERS[5:]]),
    "CAFFE": (60_965_224, TWO_TOWERS),
    "CAFFENET": (60_965_224, TWO_TOWERS),
    "ONE_WEIRD_TRICK": (61_100_840, ONE_TOWER_OF_2014),
    "TORCHVISION": (61_100_840, ONE_TOWER_OF_2014),
    "SINGLE_TOWER": (
        62_378_344,
        [
            11 * 11 * 3 * 96 + 96,
            5 * 5 * 96 * 256 + 256,
            3 * 3 * 256 * 384 + 384,
            3 * 3 * 384 * 384 + 384,
            3 * 3 * 384 * 256 + 256,
            *TWO_TOWERS[5:],
        ],
    ),
    "KERAS_STRIDE_4": (21_622_154, KERAS),
    "BATCH_NORM": (
        58_307_333,
        [
            *with_norm(11 * 11 * 3 * 96 + 96, 96),
            *with_norm(5 * 5 * 96 * 256 + 256, 256),
            *with_norm(3 * 3 * 256 * 384 + 384, 384),
            *with_norm(3 * 3 * 384 * 384 + 384, 384),
            *with_norm(3 * 3 * 384 * 256 + 256, 256),
            6 * 6 * 256 * 4096 + 4096,
            4096 * 4096 + 4096,
            4096 * 5 + 5,
        ],
    ),
    "KERAS_TUTORIAL": (
        62_380_776,
        [
            *with_norm(11 * 11 * 3 * 96 + 96, 96),
            *with_norm(5 * 5 * 96 * 256 + 256, 256),
            3 * 3 * 256 * 384 + 384,
            3 * 3 * 384 * 384 + 384,
            *with_norm(3 * 3 * 384 * 256 + 256, 256),
            *TWO_TOWERS[5:],
        ],
    ),
    "KERAS_FIFTH_11": (  # printed in the notebook, line by line
        28_600_264,
        [
            *(34_944, 384, 614_656, 1_024, 885_120, 1_327_488),
            *(4_460_640, 384, 397_312, 16_781_312, 4_097_000),
        ],
    ),
    "PHOTOGRAPHS": (
        254_533,
        [
            *with_norm(7 * 7 * 3 * 32 + 32, 32),
            *with_norm(5 * 5 * 16 * 64 + 64, 64),
            *with_norm(3 * 3 * 64 * 128 + 128, 128),
            *with_norm(3 * 3 * 64 * 128 + 128, 128),
            *with_norm(3 * 3 * 64 * 128 + 128, 128),
            128 * 5 + 5,
        ],
    ),
    "CIFAR_19PCT": (89_578, CIFAR),  # Caffe's cifar10_full prints the same sum
    "CIFAR_18PCT": (89_578, CIFAR),
    "CIFAR_13PCT": (
        1_116_490,
        [
            *CIFAR_CROPPED,
            6 * 6 * (3 * 3 * 64 * 32 + 32),
            6 * 6 * (3 * 3 * 32 * 32 + 32),
            6 * 6 * 32 * 10 + 10,
        ],
    ),
    "CIFAR_11PCT": (
        2_112_970,
        [
            *CIFAR_CROPPED,
            6 * 6 * (3 * 3 * 64 * 64 + 64),
            6 * 6 * (3 * 3 * 64 * 32 + 32),
            6 * 6 * 32 * 10 + 10,
        ],
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_net_has_the_parameters_that_follow_by_hand_and_are_published(name):
    published, by_layer = COUNTS[name]
    infos = architectures.by_name(name).layer_info()
    assert [info.parameters for info in infos if info.weight_shape] == by_layer
    assert sum(by_layer) == published


def test_running_statistics_are_counted_apart():
    statistics = {net.name: sum(info.statistics for info in net.layer_info()) for net in NETS}
    nonzero = {name: count for name, count in statistics.items() if count}
    assert nonzero == {
        "BATCH_NORM": 2_752,
        "KERAS_TUTORIAL": 1_216,
        "KERAS_FIFTH_11": 896,
        "PHOTOGRAPHS": 960,
    }


def test_every_net_is_counted():
    assert {net.name for net in NETS} == {*COUNTS, "DIGITS"}
    assert all(getattr(architectures, net.name) is net for net in NETS)


MULTIPLY_ACCUMULATES = {
    "PAPER": 724_406_816,
    "CAFFE": 724_406_816,
    "ONE_GPU": 391_514_384,
    "SIX_CONV": 745_640_480,
    "ONE_WEIRD_TRICK": 714_188_480,
    "TORCHVISION": 714_188_480,
    "SINGLE_TOWER": 1_135_256_096,
}


@pytest.mark.parametrize("name", MULTIPLY_ACCUMULATES)
def test_a_net_takes_the_multiply_accumulates_that_are_published(name):
    infos = architectures.by_name(name).layer_info()
    assert sum(info.multiply_accumulates for info in infos) == MULTIPLY_ACCUMULATES[name]
