"""Records as train.prepare writes them: the loader alone, and training from them."""

import sys
from pathlib import Path

from benchmarks.children import RequestFailed
from benchmarks.gpu.check import Check
from benchmarks.gpu.parts.first_command import images_per_second
from benchmarks.gpu.variants import variant_of

_READERS = {
    "simplejpeg": ("jpeg", "simplejpeg"),
    "pillow": ("jpeg", "pillow"),
    "raw": ("raw", "pillow"),
}
"""The encoding of the records and the decoder of JPEGs, by the name in results."""
_LEAST = 15
"""Seconds that a run needs to start and compile."""


def load(check: Check) -> None:
    """Keep how many images a second the loader brings to the device, by threads and decoder."""
    found, sizes = {}, check.sizes
    folders = {encoding: make_records(check, encoding) for encoding in ("jpeg", "raw")}
    request = {"batch": sizes.loaded_batch, "images": sizes.loaded_images}
    with check.ours() as worker:
        for name, (encoding, decoder) in _READERS.items():
            for threads in sizes.threads:
                request |= {"records": str(folders[encoding]), "decoder": decoder}
                try:
                    answer = worker.ask("load", check.seconds_left(), threads=threads, **request)
                except RequestFailed as error:
                    answer = {"error": str(error)}
                found[f"{name}, {threads} threads"] = answer
                check.keep("loader", found)
                check.say(f"loader: {name}, {threads} threads: {answer}")


def train(check: Check) -> None:
    """Keep the images a second of train.main from records, and their share of the step's own."""
    found, sizes = {}, check.sizes
    for encoding, precision, number in sizes.trained_as:
        batch, name = sizes.batches[number], f"{encoding}, {precision}, {sizes.batches[number]}"
        if check.seconds_left() < _LEAST:
            found[name] = {"error": "no time left"}
            continue
        folder = check.work / f"trained-{name}".replace(", ", "-")
        finished = check.train(
            *("--experiment", "paper", "--net", sizes.net, "--devices", 1),
            *("--data", make_records(check, encoding), "--run-dir", folder),
            *("--batch-size", batch, "--steps", max(2, sizes.trained_images // batch)),
            *("--precision", precision),
        )
        if finished.status != 0:
            raise RuntimeError(f"train.main fails, {name}: {finished.errors.strip()[-300:]}")
        rate, alone = images_per_second(folder), _synthetic_rate(check, precision, batch)
        found[name] = finished.summary() | {"images_per_second": rate, "synthetic": alone}
        found[name]["share"] = round(rate / alone, 3) if rate and alone else None
        check.keep("end_to_end", found)
        check.say(f"end to end: {name}: {found[name]}")


def _synthetic_rate(check: Check, precision: str, batch: int) -> float | None:
    """Return the images per second of the step alone, if that part of the check has run."""
    wanted = ("ours", "train", batch, precision, "jit")
    rows = check.results.get("speed", {}).get("table", [])
    rates = [row["images_per_second"] for row in rows if variant_of(row) == wanted]
    return rates[0] if rates else None


_MAKE_PICTURES = """
import sys
from multiprocessing import Pool
from pathlib import Path
import numpy as np
from PIL import Image
folder, count = Path(sys.argv[1]), int(sys.argv[2])
def write(number):
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((300, 270), Image.Resampling.BICUBIC), np.int16)
    pixels = (smooth + rng.integers(-14, 15, (270, 300, 1))).clip(0, 255).astype(np.uint8)
    split = "train" if number // 10 % 6 else "val"
    path = folder / split / f"class{number % 10}" / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)
if __name__ == "__main__":
    with Pool() as pool:
        pool.map(write, range(count), 16)
"""
"""Smooth colors with a grain, whose JPEG files are about as large as those of photographs."""


def make_records(check: Check, encoding: str) -> Path:
    """Return the folder of the records in an encoding, made at the first call."""
    pictures, records = check.work / "pictures", check.work / f"records-{encoding}"
    commands = []
    if not pictures.exists():
        script = check.work / "make_pictures.py"
        script.write_text(_MAKE_PICTURES)
        commands.append([sys.executable, script, pictures, check.sizes.pictures])
    if not records.exists():
        prepare = [sys.executable, "-m", "train.prepare", pictures, records]
        commands.append([*prepare, "--encoding", encoding])
    for command in commands:
        finished = check.run(*command)
        if finished.status != 0:
            raise RuntimeError(f"no records could be made: {finished.errors.strip()[-300:]}")
    return records
