"""README's first command, on one device and on two."""

import statistics
from pathlib import Path

from benchmarks.gpu.check import Check
from train.run_dir.metrics import read_metrics


def run(check: Check) -> None:
    """Keep how each ends; the second one is refused in a sentence where there is one card."""
    found = {}
    for devices in check.sizes.first_devices:
        folder = check.work / f"first-{devices}"
        flags = ["--devices", devices, "--run-dir", folder, *check.sizes.first_flags]
        more = ("--steps", "2") if devices == 2 else ()
        finished = check.train(*flags, *more)
        rate = images_per_second(folder)
        found[f"devices_{devices}"] = finished.summary() | {"images_per_second": rate}
        check.keep("first_command", found)
        printed = (finished.output if finished.status == 0 else finished.errors).strip()
        last = printed.splitlines()[-1] if printed else "nothing printed"
        check.say(f"first command on {devices}: status {finished.status}, {rate} images/s; {last}")
    first = next(iter(found.values()))
    if first["status"] != 0:
        raise RuntimeError(f"README's command fails: {first['errors'].strip()[-300:]}")


def images_per_second(run_dir: Path) -> float | None:
    """Return the median rate of a run's second half, None if it has not come so far."""
    rates = [row["images_per_second"] for row in read_metrics(run_dir) if _is_step(row)]
    return round(statistics.median(rates[len(rates) // 2 :]), 1) if rates else None


def _is_step(row: dict[str, float]) -> bool:
    return "images_per_second" in row
