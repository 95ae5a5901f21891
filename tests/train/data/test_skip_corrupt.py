"""Training pictures that cannot be decoded are replaced."""

import numpy as np
import pytest

from train.config.errors import BadInput
from train.data.formats.image_file import BadPicture
from train.data.pipeline import train_batches
from train.data.skip_corrupt import SkipCorrupt

COUNT = 40


class Numbered:
    """Examples labeled with their index; those in `bad` cannot be decoded."""

    def __init__(self, *bad):
        self.bad, self.tried = bad, []

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        self.tried.append(index)
        if index in self.bad:
            raise BadPicture(f"number {index} is not a picture")
        return {"image": np.full((1, 1, 3), index, np.uint8), "label": index}


def draw_labels(source, batches, *, position=0, threads=1):
    iterator = train_batches(
        source, batch_size=8, seed=0, position=position, threads=threads, prefetch=2
    )
    labels = [next(iterator)["label"].tolist() for _ in range(batches)]
    iterator.close()
    return labels


def test_the_next_picture_replaces_a_corrupt_one_and_all_others_keep_their_places():
    whole = draw_labels(Numbered(), 20)
    skipped = draw_labels(SkipCorrupt(Numbered(3, 17, 18, 39), 4), 20)
    replacement = {3: 4, 17: 19, 18: 19, 39: 0}
    assert skipped == [[replacement.get(label, label) for label in batch] for batch in whole]


def test_neither_threads_nor_a_stop_change_the_order():
    whole = draw_labels(SkipCorrupt(Numbered(3, 17, 18), 3), 20)
    assert draw_labels(SkipCorrupt(Numbered(3, 17, 18), 3), 20, threads=4) == whole
    assert draw_labels(SkipCorrupt(Numbered(3, 17, 18), 3), 9, position=8 * 11) == whole[11:]


def test_a_bad_picture_is_named_and_tried_once(capsys):
    source = Numbered(3, 17)
    skip_corrupt = SkipCorrupt(source, 2)
    draw_labels(skip_corrupt, 25)
    output = capsys.readouterr().out.splitlines()
    assert sorted(output) == [f"skipped: number {n} is not a picture" for n in (17, 3)]
    assert skip_corrupt.corrupt.keys() == {3, 17}
    assert (source.tried.count(3), source.tried.count(17)) == (1, 1)


def test_one_bad_picture_too_many_is_an_error():
    with pytest.raises(BadInput, match="number 3 is not a picture") as caught:
        SkipCorrupt(Numbered(3), 0)[3]
    assert "allows" not in str(caught.value)  # the flag was not given
    skip_corrupt = SkipCorrupt(Numbered(3, 17, 18), 2)
    with pytest.raises(BadInput) as caught:
        draw_labels(skip_corrupt, 5)
    assert "is not a picture, and --bad-images allows 2" in caught.value.with_flags()
    assert len(skip_corrupt.corrupt) == 2


def test_any_other_error_is_raised_at_once():
    class LostDisk(Numbered):
        def __getitem__(self, index):
            raise BadInput("the disk is gone")

    with pytest.raises(BadInput, match="the disk is gone"):
        SkipCorrupt(LostDisk(), COUNT)[0]
    with pytest.raises(BadInput, match="none of the training pictures can be decoded"):
        SkipCorrupt(Numbered(*range(COUNT)), COUNT)[5]
