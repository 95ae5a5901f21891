"""Images a second from records to the device, by threads and decoder."""

from pathlib import Path
from typing import Any

from benchmarks.loader import grain_turn, with_decoder


def rate(records: str, decoder: str, threads: int, batch: int, images: int) -> dict[str, Any]:
    """Read batches as training does, with "simplejpeg" or "pillow".

    Returns images per second by the clock, and per second of processor time.
    """
    from train.data.dataset import open_data
    from train.data.formats import image_file
    from train.data.formats.manifest import read

    folder = Path(records)
    source = open_data(folder, "records", read(folder).size).train
    fast = image_file.simplejpeg
    if decoder == "simplejpeg" and fast is None:
        raise ModuleNotFoundError("simplejpeg is not installed; the extra `fast` has it")
    decode = fast if decoder == "simplejpeg" else None
    turn = with_decoder(decode, lambda: grain_turn(source, batch, images, threads))()
    return {
        "images_per_second": round(turn.images / turn.wall),
        "per_core_second": round(turn.images / turn.cores),
    }
