"""What a mistyped name was meant to be."""

import difflib
from collections.abc import Iterable

_NEAR = 0.7  # of the characters agree; at difflib's default, 0.6, ALEXNET is near CAFFENET


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean NAME?" with the nearest of the names, in any case, or ""."""
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=_NEAR)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""
