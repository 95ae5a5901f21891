"""Sources of published files: mirrors. Packages that contain them are in the library."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from alexnet_jax.weights.files.download import DownloadError

# Seconds to connect to each address, and between packets. Both are short, because another source
# can replace a slow mirror.
_MIRROR_TIMEOUTS = (4, 10)


class DownloadSource(Protocol):
    """A place to download files from. `str()` of it is its name in messages."""

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each file, gzipped or not.

        The caller checks the bytes. The MD5s are those of the .gz files on mirrors; a package
        compresses the same files anew, with other bytes.

        Args:
          files: names, and the MD5 of NAME.gz.
          folder: an empty folder for downloads.

        Raises DownloadError.
        """
        ...


@dataclass(frozen=True)
class Mirror:
    """A folder on a web server with the published .gz files."""

    address: str

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    def read(self, files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, bytes]]:
        """Download file by file. Raises DownloadError."""
        import pooch

        pooch.get_logger().setLevel("ERROR")
        # Any: pooch declares a narrower type for `downloader` than it accepts.
        downloader: Any = pooch.HTTPDownloader(timeout=_MIRROR_TIMEOUTS)
        for name, md5 in files.items():
            url = f"{self.address}/{name}.gz"
            try:
                path = pooch.retrieve(url, f"md5:{md5}", name, folder, downloader=downloader)
            except OSError as error:  # the base class of the errors of requests
                raise DownloadError(_root_cause(error)) from None
            except ValueError:
                raise DownloadError(f"{name}.gz does not have the published MD5") from None
            yield name, Path(path).read_bytes()


def _root_cause(error: BaseException) -> str:
    """Return the message of the innermost error: an unknown host, a refusal, a timeout."""
    while error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
