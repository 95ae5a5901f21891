"""Files that are there when they are whole."""

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Write a file; what stands under the path is replaced when all is written, or not at all."""
    half_written = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        half_written.write_bytes(data)
        half_written.replace(path)
    except OSError as error:
        error.filename = str(path)  # which the caller knows
        raise
    finally:
        half_written.unlink(missing_ok=True)
