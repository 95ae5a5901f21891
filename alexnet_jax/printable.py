"""Text from files, archives and the command line, made fit for one line of a terminal."""

import os

SENTENCE_LENGTH = 300


def printable(text: str | os.PathLike[str], limit: int = SENTENCE_LENGTH) -> str:
    r"""Return a text with its control characters visible, and without its middle if it is long.

    A name in somebody's archive can otherwise move the cursor, recolor the terminal or hide the
    rest of a message. `"\x1b[2J"` becomes `"\\x1b[2J"`; so do line breaks, lone surrogates and the
    marks that reverse the direction of writing.

    Args:
      text: a name, a path or a whole sentence.
      limit: of its characters. The middle is cut, because a path ends with the name of the file,
        and a sentence with the reason.
    """
    visible = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in _cut(os.fspath(text), limit)
    )
    return _cut("".join(visible), limit)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = (limit - 3) // 2
    return f"{text[: limit - 3 - end]}...{text[len(text) - end :]}"
