"""The mesh of a run: what `--layout` makes of a network and a number of devices."""

import pytest

from alexnet_jax.architectures import PAPER
from train.config.errors import BadInput
from train.runtime.mesh import dense_group, make_mesh


@pytest.mark.parametrize(
    ("layout", "devices", "axes"),
    [
        ("tower", 8, {"data": 4, "tower": 2}),
        ("data", 8, {"data": 8}),
        ("dense", 8, {"dense": 8}),
        ("dense", 6, {"data": 3, "dense": 2}),
        *((layout, 1, {"tower": 1}) for layout in ("tower", "data", "dense")),
    ],
)
def test_a_layout_names_the_axes_of_the_mesh(layout, devices, axes):
    assert dict(make_mesh(PAPER, devices, layout=layout).shape) == axes


@pytest.mark.parametrize(("devices", "group"), [(4, 4), (12, 4), (16, 8), (64, 8), (14, 2)])
def test_dense_layers_are_shared_by_as_many_as_divide_them_up_to_eight(devices, group):
    """PAPER's have 4,096 features."""
    assert dense_group(PAPER, devices) == group


def test_devices_that_cannot_share_the_dense_layers_are_refused_in_one_sentence():
    with pytest.raises(BadInput) as caught:
        make_mesh(PAPER, 3, layout="dense")
    assert str(caught.value) == (
        "`devices` 3: PAPER: no group of 2 to 8 divides both 3 devices "
        "and dense layers of 4,096 features"
    )
