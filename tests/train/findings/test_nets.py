"""The networks of findings differ from their baselines in one thing, by their counts."""

import pytest

from alexnet_jax import architectures
from alexnet_jax.layer_specs import Conv, MaxPool
from train.config.flags import parse
from train.findings import nets
from train.findings.ablations import ABLATIONS


def _shapes(net):
    return {info.name: info.output_shape for info in net.layer_info()}


def test_tanh_takes_the_place_of_relu_and_nothing_else_changes():
    relu, tanh = architectures.CIFAR_19PCT, nets.CIFAR_19PCT_TANH
    assert tanh.parameters == relu.parameters == 89_578
    kinds = [
        (type(a).__name__, type(b).__name__) for a, b in zip(relu.layers, tanh.layers, strict=True)
    ]
    assert [pair for pair in kinds if pair[0] != pair[1]] == [("Relu", "Tanh")] * 3


def test_one_tower_sees_all_maps_and_half_has_half_the_kernels_but_in_the_last():
    # conv2, conv4 and conv5 see twice the maps: 25 * 16 * 64 + 2 * 9 * 64 * 128 more weights.
    assert nets.ONE_TOWER.parameters == 254_533 + 25_600 + 147_456
    # conv3 sees its own tower alone: 9 * 32 * 128 weights fewer.
    assert nets.NO_COMMUNICATION.parameters == 254_533 - 36_864
    widths = [shape[-1] for name, shape in _shapes(nets.HALF).items() if name.startswith("conv")]
    assert widths == [16, 32, 64, 64, 128]
    assert nets.HALF.towers == nets.ONE_TOWER.towers == 1
    assert nets.NO_COMMUNICATION.towers == 2


def test_kernels_start_from_the_deviation_of_their_number_of_inputs():
    stds = {spec.name: spec.std for spec in nets.ONE_TOWER.layers if isinstance(spec, Conv)}
    assert stds["conv1"] == pytest.approx((2 / (7 * 7 * 3)) ** 0.5)
    assert stds["conv2"] == pytest.approx((2 / (5 * 5 * 32)) ** 0.5)
    assert stds["conv5"] == pytest.approx((2 / (3 * 3 * 128)) ** 0.5)


def test_pools_that_overlap_and_those_that_do_not_give_maps_of_one_size():
    assert _shapes(nets.OVERLAPPING) == _shapes(nets.NON_OVERLAPPING)
    assert _shapes(nets.NON_OVERLAPPING)["pool5"] == (3, 3, 64)


def test_a_layer_is_left_out_with_its_relu():
    # A convolution of 96 maps that sees 48 goes, weights and biases.
    assert nets.NO_CONV4.parameters == 286_922 - (9 * 48 * 96 + 96)
    assert nets.NO_DROPOUT.parameters == 286_922
    for number in (3, 4, 5):
        net = getattr(nets, f"NO_CONV{number}")
        assert len(net.layers) == len(architectures.DIGITS.layers) - 2
        assert f"conv{number}" not in _shapes(net)


def test_norms_are_all_that_the_two_networks_of_section_3_3_differ_in():
    plain = architectures.CIFAR_13PCT
    norm = type(
        next(spec for spec in nets.CIFAR_13PCT_NORM.layers if "Norm" in type(spec).__name__)
    )
    left = [spec for spec in nets.CIFAR_13PCT_NORM.layers if not isinstance(spec, norm)]
    kept = [spec for spec in plain.layers if not isinstance(spec, MaxPool)]
    # The norm stands before the second pool there, so that pools are compared apart.
    assert [spec for spec in left if spec in kept] == kept
    assert nets.CIFAR_13PCT_NORM.parameters == plain.parameters == 1_116_490


@pytest.mark.parametrize("name", ABLATIONS)
def test_each_arm_is_a_command_that_train_main_takes(name, tmp_path):
    ablation = ABLATIONS[name]
    baselines = {arm.baseline for arm in ablation.arms.values()} - {None}
    assert baselines == {name for name, arm in ablation.arms.items() if arm.baseline is None}
    recipes = [
        parse(["--data", str(tmp_path), *map(str, arm.flags)]).recipe
        for arm in ablation.arms.values()
    ]
    assert len(set(map(str, recipes))) == len(recipes)
