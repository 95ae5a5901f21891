"""A source that does without the few pictures of it that cannot be decoded."""

import threading

from ..config.errors import BadInput
from .examples import Example, Source
from .formats.image_file import BadPicture


class SkipCorrupt:
    """In the place of a picture that cannot be decoded it gives the next one that can.

    Which one that is follows from the index alone, so threads, devices and stops change nothing.
    """

    def __init__(self, source: Source, limit: int) -> None:
        """Stand for `source`, of which up to `limit` pictures may be bad."""
        self.source, self.limit = source, limit
        self.bad: dict[int, str] = {}
        """What is wrong with each that was met, by index."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of examples, bad ones included."""
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Return the example, or the next one. Raises BadInput at one bad picture too many."""
        for ahead in range(len(self)):
            place = (index + ahead) % len(self)
            if place not in self.bad:
                try:
                    return self.source[place]
                except BadPicture as error:
                    self._note(place, str(error))
        raise BadInput("none of the training pictures can be decoded")

    def name(self, index: int) -> str:
        """Return what the source calls it."""
        return self.source.name(index)

    def _note(self, place: int, what: str) -> None:
        """Name it, the first time."""
        with self._lock:
            if place in self.bad:
                return
            if len(self.bad) == self.limit:
                allowed = f", and --bad-images allows {self.limit}" if self.limit else ""
                raise BadInput(f"{what}{allowed}")
            self.bad[place] = what
        print(f"skipped: {what}", flush=True)
