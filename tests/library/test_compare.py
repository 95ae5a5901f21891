"""Which differences between two networks change what they compute at test time."""

import dataclasses

import pytest

from alexnet_jax import architectures
from alexnet_jax.architectures.compare import same_computation
from alexnet_jax.layer_specs import BatchNorm, Conv, Dropout, Output, ResponseNorm

PAPER = architectures.PAPER


def replace_fields(net, kind, **fields):
    """Replace fields in each layer of one type."""
    layers = tuple(
        dataclasses.replace(spec, **fields) if isinstance(spec, kind) else spec
        for spec in net.layers
    )
    return dataclasses.replace(net, layers=layers)


@pytest.mark.parametrize("net", architectures.NETS, ids=lambda net: net.name)
def test_classes_names_and_initial_values_do_not_matter(net):
    other = dataclasses.replace(replace_fields(net, Conv, std=0.5, bias=2.0), name="OTHER")
    other = replace_fields(other.with_classes(7), BatchNorm, momentum=0.5)
    assert same_computation(net, other)
    assert same_computation(other, net)


def test_inverted_dropout_does_not_matter_and_the_papers_does():
    layers = [spec for spec in PAPER.layers if not isinstance(spec, Dropout)]
    without = dataclasses.replace(PAPER, layers=tuple(layers))
    assert same_computation(replace_fields(PAPER, Dropout, inverted=True), without)
    assert not same_computation(PAPER, without)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(PAPER, towers=1),
        replace_fields(PAPER, Conv, padding=(1, 2)),
        replace_fields(PAPER, ResponseNorm, k=1.0),
        replace_fields(PAPER, Output, name="logits"),
        architectures.ORIGINAL,
    ],
)
def test_whatever_changes_an_activation_matters(other):
    assert not same_computation(PAPER, other)
    assert not same_computation(PAPER, other, widths=False)


def test_widths_matter_unless_they_are_left_out():
    wider = replace_fields(PAPER, Conv, maps=512)
    assert not same_computation(PAPER, wider)
    assert same_computation(PAPER, wider, widths=False)
