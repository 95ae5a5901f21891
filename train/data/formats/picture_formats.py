"""The picture formats that all commands read: the one list of them."""

from PIL import Image

_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI")
_FORMATS += ("SGI", "SUN", "TGA", "TIFF", "WEBP")
# For PostScript Pillow would start Ghostscript, an interpreter of programs. MPEG, HDF5, GRIB, BUFR
# and WMF it recognizes and cannot decode.

_ENDINGS = Image.registered_extensions()  # also registers all formats

FORMATS = tuple(name for name in _FORMATS if name in Image.OPEN)
"""Pillow's names of the formats that it decodes in this process, for `Image.open`.

A build of Pillow may lack some. A JPEG file may be of the kind that Pillow calls MPO.
"""

ENDINGS = frozenset(ending for ending, kind in _ENDINGS.items() if kind in (*FORMATS, "MPO"))
"""The endings of their file names, in lower case, such as ".jpg"."""
