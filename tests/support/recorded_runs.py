"""Folders of runs that nobody trained: a configuration and metrics."""

import json
import os

from train.config.config import Config
from train.config.saved import save_config

EPOCHS = (0.5, 0.25)  # training errors; those of validation are twice, losses three times as much


def write_run(folder, *, shift=0.0, epochs=EPOCHS, test=0.125, began=1_700_000_000, **values):
    """A run of ten steps an epoch with these training errors, and a test error at its end."""
    folder.mkdir(parents=True)
    save_config(
        Config().replace(run_dir=folder, batch_size=64, **values),
        {"data": {"class_names": ["a", "b"], "train": 640}},
    )
    rows = []
    for number, error in enumerate(epochs, 1):
        for step in range(10 * number - 9, 10 * number + 1):
            speed = {} if step == 1 else {"images_per_second": 32.0}
            rows.append({"step": step, "loss": 1.0, "epoch": step / 10} | speed)
        parts = (("train", error + shift), ("val", 2 * error + shift))
        means = {f"{part}_loss": 3 * value for part, value in parts}
        means |= {f"{part}_top1_error": value for part, value in parts}
        rows.append({"step": 10 * number} | means)
    if test is not None:
        rows.append({"step": 10 * len(epochs), "test_loss": 1.0, "test_top1_error": test})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mean.npy").write_bytes(b"")
    os.utime(folder / "mean.npy", (began, began))
    return folder
