"""A source that replaces each corrupt picture by the next readable one."""

import threading

from ..config.errors import BadInput
from .examples import Example, Source, WrappedSource
from .formats.image_file import BadPicture


class SkipCorrupt(WrappedSource):
    """Returns, for a picture that cannot be decoded, the next one that can be.

    The replacement depends on the index alone, so threads, devices and resuming change nothing.
    """

    def __init__(self, source: Source, bad_images: int) -> None:
        """Wrap `source`, of which up to `bad_images` pictures may be corrupt."""
        super().__init__(source)
        self.bad_images = bad_images
        self.corrupt: dict[int, str] = {}
        """The message about each corrupt picture that was read, by index."""
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> Example:
        """Return the example, or the next readable one.

        Raises BadInput at the first corrupt picture over the limit.
        """
        for offset in range(len(self)):
            candidate = (index + offset) % len(self)
            if candidate not in self.corrupt:
                try:
                    return self.source[candidate]
                except BadPicture as error:
                    self._report(candidate, str(error))
        raise BadInput("none of the training pictures can be decoded")

    def _report(self, index: int, message: str) -> None:
        """Print the message, the first time."""
        with self._lock:
            if index in self.corrupt:
                return
            if len(self.corrupt) == self.bad_images:
                limit = f", and `bad_images` allows {self.bad_images}" if self.bad_images else ""
                raise BadInput(f"{message}{limit}")
            self.corrupt[index] = message
        print(f"skipped: {message}", flush=True)
