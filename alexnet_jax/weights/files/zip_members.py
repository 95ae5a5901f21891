"""Members of zip archives from strangers, read with bounds on their number and size."""

import mmap
import zipfile
from pathlib import Path

_ENTRY = b"PK\x01\x02"  # at the beginning of every entry of an archive's directory
_MAX_ENTRIES = 10_000  # PyTorch writes one for each tensor; AlexNet with an optimizer has 64


class ZipMembers:
    """The members of an archive. All that is read of it takes as much memory as the archive."""

    def __init__(self, path: Path) -> None:
        """Read the directory. Raises ValueError if it is too long, and what zipfile raises."""
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        at = -1
        for _ in range(_MAX_ENTRIES):
            if (at := data.find(_ENTRY, at + 1)) < 0:
                break
        else:
            raise ValueError(f"its archive has more than {_MAX_ENTRIES:,} entries")
        self.path, self.bytes_left = path, len(data)
        with zipfile.ZipFile(path) as archive:
            self.names = archive.namelist()

    def read(self, name: str) -> bytes:
        """Return the content of a member, which must not be compressed.

        Raises:
          ValueError: a compressed member; members that overlap; a name that is not in the archive.
          zipfile.BadZipFile: a member whose checksum is another one.
        """
        with zipfile.ZipFile(self.path) as archive:
            if name not in archive.NameToInfo:
                raise ValueError(f"its {name} is missing")
            member = archive.getinfo(name)
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its {name} is compressed, which PyTorch never does")
            self.bytes_left -= member.file_size
            if self.bytes_left < 0:
                raise ValueError(f"its {name} overlaps with others, or is larger than the file")
            return archive.read(member)
