"""Names and sentences that reach a terminal."""

from pathlib import Path

import pytest

from alexnet_jax.printable import SENTENCE_LENGTH, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv1.weight", "conv1.weight"),
        ("Café 東京 ½", "Café 東京 ½"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred\x07\x00\x7f\x9b", r"\x1b[31mred\x07\x00\x7f\x9b"),
        ("\u202egpj.exe\u2028\u200b", r"\u202egpj.exe\u2028\u200b"),
        ("\udcff\U000e0001", r"\udcff\U000e0001"),
        (Path("photos") / "x\x1b", str(Path("photos") / r"x\x1b")),
    ],
)
def test_control_characters_become_visible_and_all_others_stay(text, shown):
    assert printable(text) == shown


def test_a_long_text_loses_its_middle():
    assert printable("0123456789", 9) == "012...789"
    assert printable("0123456789", 10) == "0123456789"
    assert printable("\x1b" * 10, 12) == r"\x1b\...\x1b"
    for text in ("x" * 10_885, "\x1b" * 299, "\x1b" * 1000):
        assert len(printable(text)) == SENTENCE_LENGTH
