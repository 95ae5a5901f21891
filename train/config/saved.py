"""The configuration that a run folder keeps: config.json."""

import json
from pathlib import Path
from typing import Any

from .config import FIELDS, Config
from .errors import BadInput

NOT_SAVED = {"run_dir", "resume", "plan", "plan_images", "plan_classes"}
NOT_SAVED |= {"coordinator", "processes", "process_id"}
"""What belongs to one call of the command, and not to the run."""

FORMER_NAMES = {
    "patches_together": "crops_together",
    "colour_noise": "pca_color",
    "colour_noise_until": "pca_color_until",
}
"""Names that values had in config.json, and flags on the command line, until November 2026."""

_BEFORE = {"validation": 0, "resize": "central-square"}
"""Values of runs from before there was a key for them, where the default is another one now."""


def save_config(config: Config, record: dict[str, Any]) -> None:
    """Write config.json into the run folder: the configuration, and `record` beside it."""
    from alexnet_jax.weights.files.atomic import write_atomically

    from .network import net_to_json

    assert config.launch.run_dir is not None
    values = {name: x for name, x in config.values().items() if name not in NOT_SAVED}
    values["data"] = values["data"] and values["data"].resolve()
    values["init"] = values["init"] and resolve_unless_name(values["init"])
    values["net"] = net_to_json(values["net"])
    text = json.dumps(record | {"config": values}, indent=2, default=str)
    write_atomically(config.launch.run_dir / "config.json", text + "\n")


def resolve_unless_name(weights: Path) -> Path:
    """Return an absolute path, or the name of published weights as it is: `torchvision`."""
    is_name = len(weights.parts) == 1 and not weights.exists()
    return weights if is_name else weights.resolve()


def load_config(run_dir: Path) -> Config:
    """Read the configuration that a run folder keeps. Raises BadInput if it holds none."""
    from alexnet_jax.weights.spec_json import check_value

    from .network import net_from_json

    record: dict[str, Any] = read_record(run_dir)["config"]
    path = run_dir / "config.json"
    try:
        net = net_from_json(record["net"])
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None
    try:
        values: dict[str, Any] = {}
        for key, value in ({"net": record["net"]} | _BEFORE | record).items():
            name = FORMER_NAMES.get(key, key)
            values[name] = net if name == "net" else check_value(value, FIELDS[name].type, name)
        return Config().replace(**values, run_dir=run_dir)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is damaged, or of another version: {error}") from None


def with_saved_validation(config: Config) -> Config:
    """Return the configuration of a resumed run with the validation part that it began with.

    Unchanged if it is not resumed, or names a part itself. Raises BadInput if config.json is
    damaged.
    """
    run_dir = config.launch.run_dir
    named = config.recipe.validation is not None
    if named or not config.launch.resume or not run_dir or not (run_dir / "config.json").exists():
        return config
    saved = load_config(run_dir).recipe
    return config.replace(validation=saved.validation, validation_from=saved.validation_from)


def read_record(run_dir: Path) -> dict[str, Any]:
    """Read all of a run folder's config.json. Raises BadInput if it is missing or broken."""
    from alexnet_jax.weights.readers.run_folder import read_run_record

    if not run_dir.exists():
        raise BadInput(f"{run_dir} does not exist")
    try:
        return read_run_record(run_dir)
    except (ValueError, OSError) as error:
        raise BadInput(f"{run_dir}: {error}") from None
