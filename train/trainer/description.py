"""What a run says of itself before its first step."""

from pathlib import Path

import jax

from ..data.validation import describe_validation
from ..run_dir.folder import arithmetic_note
from ..runtime.arithmetic import Arithmetic, bfloat16_note, describe_products
from .build import Run


def describe_run(run: Run, folder: Path, step: int) -> str:
    """Return the line that says what is about to run."""
    architecture, batch_size = run.architecture, run.config.recipe.batch_size
    towers = f"{architecture.towers} tower{'s' * (architecture.towers > 1)}"
    count = run.config.launch.devices
    devices = f"{count} {run.mesh.devices.flat[0].platform} device{'s' * (count > 1)}"
    if jax.process_count() > 1:
        devices += f" of {jax.process_count()} processes"
    if count > 1 and run.config.launch.layout != "tower":
        devices += f" laid out by {run.config.launch.layout}"
    devices += f", products in {arithmetic(run, step).products}"
    steps = f"from step {step} of {run.last_step}" if step else f"{run.last_step} steps"
    return (
        f"{architecture.name} ({architecture.parameters:,} parameters, {towers}) on {devices}, "
        f"{len(run.data.train):,} images in batches of {batch_size}, {steps}, in {folder}"
    )


def arithmetic(run: Run, step: int) -> Arithmetic:
    """Return what the run computes in, from a step on."""
    device = run.mesh.devices.flat[0]
    products = describe_products(run.config.recipe.precision, device)
    return Arithmetic(step, device.device_kind, products)


def arithmetic_notes(run: Run, folder: Path, step: int) -> list[str]:
    """Return sentences on bfloat16 where it gains nothing, and on a resumed run's new products."""
    notes = [bfloat16_note(run.config.recipe.precision, run.mesh.devices.flat[0])]
    if run.config.launch.resume and (folder / "config.json").exists():
        notes.append(arithmetic_note(folder, arithmetic(run, step)))
    return [note for note in notes if note]


def describe_parts(run: Run) -> str:
    """Return the line that says which images choose the best checkpoint."""
    recipe = run.config.recipe
    return describe_validation(run.data, recipe.validation, recipe.validation_from)
