"""Random damage to files: bits, bytes, counts, cuts, copies, and parts of other files.

Most of a file of weights is numbers, whose change damages nothing. So the places of half of the
edits are those where two files of one format with different numbers are equal.
"""

import io
import struct
import zipfile

import numpy as np

from tests.support.weight_files import FORMATS

BYTES = (0, 1, 2, 0x28, 0x29, 0x2E, 0x5D, 0x7D, 0x7F, 0x80, 0xFE, 0xFF)
COUNTS = (0, 1, 2, 7, 255, 256, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63)
COUNTS += (2**64 - 1, 2**64 - 8)


def _members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


class Originals:
    """Valid files of all formats, and the places in them that are no numbers."""

    def __init__(self, formats=tuple(FORMATS)):
        self.files, self.places = {}, {}
        for name in formats:
            written = FORMATS[name].write
            first, second = (written(np.random.default_rng(seed)) for seed in (0, 1))
            self.files[name] = first
            a, b = (np.frombuffer(data, np.uint8) for data in (first, second))
            same = np.flatnonzero(a == b) if len(a) == len(b) else np.empty(0, int)
            self.places[name] = same if len(same) else np.arange(len(first))
        self.archives = {
            name: _members(data) for name, data in self.files.items() if data[:2] == b"PK"
        }

    def mutate(self, name, rng):
        """Return a file of the format with one to four edits."""
        if name not in self.archives or rng.random() < 0.5:
            return self._mutate(name, self.files[name], rng)
        # Within an archive whose checksums are right, or else damage is found before it is read.
        members = self.archives[name]
        changed = {m: self._mutate(None, members[m], rng) for m in members if m.endswith(".pkl")}
        return _archive(members | changed)

    def _mutate(self, name, original, rng):
        data = bytearray(original)
        for _ in range(int(rng.integers(1, 5))):
            structural = name is not None and rng.random() < 0.5
            at = int(rng.choice(self.places[name])) if structural else int(rng.integers(len(data)))
            at = min(at, max(len(data) - 1, 0))
            self._edit(data, at, rng)
            if not data:
                break
        return bytes(data)

    def _edit(self, data, at, rng):
        length = int(2 ** rng.uniform(0, 10))
        match rng.integers(10):
            case 0 | 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                data[at] = int(rng.choice(BYTES))
            case 3 | 4:
                count = COUNTS[rng.integers(len(COUNTS))]
                kind = ("<I", ">I", "<Q", ">Q", "<H", "<B")[rng.integers(6)]
                field = struct.pack(kind, count % 256 ** struct.calcsize(kind))
                data[at : at + len(field)] = field
            case 5:
                del data[at : at + length]
            case 6:
                data[at:at] = data[at : at + length] * int(rng.integers(1, 20))
            case 7:
                other = self.files[list(self.files)[rng.integers(len(self.files))]]
                start = int(rng.integers(len(other)))
                data[at:at] = other[start : start + length]
            case 8:
                there = int(rng.integers(len(data)))
                data[at : at + length] = data[there : there + length]
            case 9:
                del data[at:]
