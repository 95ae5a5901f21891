"""The layers of an architecture as they are written, and what is refused."""

import re
from functools import partial

import numpy as np
import pytest

from alexnet_jax.layer_specs import (
    Conv,
    Dense,
    Dropout,
    MaxPool,
    MeanPool,
    Output,
    ResponseNorm,
    SpatialNorm,
)

WHOLE = "must be a whole number above 0, not"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (partial(ResponseNorm, n=4), "ResponseNorm's n must be odd and at least 1, not 4"),
        (partial(SpatialNorm, size=4), "SpatialNorm's size must be odd and at least 1, not 4"),
        (partial(ResponseNorm, k=0), "ResponseNorm's k must be above 0, not 0"),
        (partial(SpatialNorm, k=-1), "SpatialNorm's k must be above 0, not -1"),
        (partial(MaxPool, 2, 2, (0, 2)), "MaxPool's padding must be below its size, not (0, 2)"),
        (partial(MeanPool, 2, padding=2), "MeanPool's padding must be below its size, not (2, 2)"),
        (partial(Conv, 96, 11, 4), "Conv's name must be text, not 96"),
        (partial(Conv, "conv1", 0, 3), f"conv1's maps {WHOLE} 0"),
        (partial(Conv, "conv1", 2.5, 3), f"conv1's maps {WHOLE} 2.5"),
        (partial(Conv, "conv1", True, 3), f"conv1's maps {WHOLE} True"),
        (
            partial(Conv, "conv1", 4, (3, 5)),
            "conv1's kernel must be one number for rows and columns, not (3, 5)",
        ),
        (partial(Conv, "conv1", 4, 3, stride=0), f"conv1's stride {WHOLE} 0"),
        (
            partial(Conv, "conv1", 4, 3, padding="FULL"),
            'conv1\'s padding must be "SAME", "VALID" or numbers of zeros, not \'FULL\'',
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=((1, 1), (0, 0))),
            "conv1's padding must be the same for rows and columns, not ((1, 1), (0, 0))",
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=(1, 1, 1)),
            "conv1's padding must be (before, after), not (1, 1, 1)",
        ),
        (
            partial(Conv, "conv1", 4, 3, padding=(0, -1)),
            "conv1's padding must be a whole number that is not negative, not -1",
        ),
        (partial(Dense, "fc6", 8, std=-1), "fc6's std must be at least 0, not -1"),
        (partial(Dense, "fc6", 8, bias="one"), "fc6's bias must be a number, not 'one'"),
        (partial(Output, "fc8", 8, std=float("nan")), "fc8's std must be finite, not nan"),
        (
            partial(Dropout, 0.5),
            "Dropout drops half and takes no rate: write Dropout(), or Dropout(inverted=True) "
            "for that of later libraries, not Dropout(0.5)",
        ),
    ],
)
def test_a_layer_spec_that_makes_no_sense_is_refused(spec, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        spec()


@pytest.mark.parametrize(
    ("written", "zeros"),
    [(1, (1, 1)), ([0, 3], (0, 3)), (((1, 2), (1, 2)), (1, 2)), ("valid", (0, 0))],
)
def test_the_spellings_of_other_libraries_make_the_same_layer(written, zeros):
    spec = Conv("conv1", np.int64(4), (3, 3), stride=[2, 2], padding=written, std=np.float32(0.5))
    assert spec == Conv("conv1", 4, 3, stride=2, padding=zeros, std=0.5)
    assert {type(value) for value in (spec.maps, *spec.padding)} == {int}
    assert type(spec.std) is float
