"""What a run says at its end about the time that its devices waited for data."""

from ..data.dataset import is_image_folder
from ..data.formats import manifest
from ..data.formats.image_file import simplejpeg
from ..runtime.cores import available_cores, decoding_threads
from .build import Run

TOO_LONG = 0.1
"""The share of waiting above which the run says what helps: a gain of a tenth is worth a flag."""


def describe_wait(share: float, run: Run) -> str:
    """Return the line about a share of waiting, as `ReadAhead.share_waited` counts it."""
    text = f"the devices waited for data {100 * share:.0f} % of the time"
    helpful = _what_helps(run) if share > TOO_LONG else []
    return f"{text}; faster: {', '.join(helpful)}" if helpful else text


def _what_helps(run: Run) -> list[str]:
    """List what reads the run's data faster; nothing for arrays, which need no decoding."""
    data = run.config.data
    if data.path is None:
        return []
    records = manifest.exists(data.path)
    if not records and not is_image_folder(data.path):
        return []
    threads, cores = decoding_threads(data.threads), available_cores()
    jpeg = records and manifest.read(data.path).encoding == "jpeg"
    return [
        *[f"--threads {cores} (now {threads})"] * (threads < cores),
        *["pip install simplejpeg"] * (jpeg and not simplejpeg),
        *["records of train.prepare"] * (not records),
    ]
