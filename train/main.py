"""Train a network: `python -m train.main --devices 2`.

JAX is imported only after the flags are parsed: `--help` then answers at once, and the environment
that JAX reads at its start can be set for the requested devices.
"""

import sys
from typing import TYPE_CHECKING, Any

from .config.errors import Ended, list_some
from .config.flags import make_config, names_no_experiment, read_flags
from .runtime import backend, compile_cache, distributed
from .runtime.cli import run_command

if TYPE_CHECKING:
    from alexnet_jax import Architecture

    from .trainer.default_experiment import Candidates


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, set up the devices, and train; with --plan, print a dry run."""
    given = read_flags(argv)
    if "seeds" in given:
        _train_seeds(given, sys.argv[1:] if argv is None else argv)
        return
    config, candidates = make_config(given), None
    if names_no_experiment(given):
        from .trainer.default_experiment import find_candidates

        candidates = find_candidates(config)
    net = candidates.on_cpu.net if candidates else config.recipe.net
    with distributed.fail_fast():
        backend.set_up_devices(
            config.launch.devices,
            lambda: distributed.join(config),
            batch_norm=_has_batch_norm(net),
        )
        compile_cache.enable()
        if candidates:
            config = make_config(given, _choose_experiment(candidates))
        if config.launch.plan:
            from .dry_run.report import plan

            plan(config)
            return
        from .trainer.train import train

        train(config)


def _train_seeds(given: dict[str, Any], argv: list[str]) -> None:
    from .runs import print_tables
    from .trainer.seeds import train_seeds

    folder, diverged = train_seeds(given, argv)
    print_tables(folder)
    if diverged:
        names = list_some(path.name for path in diverged)
        raise Ended(
            f"diverged: {names}; a lower `learning_rate` for all seeds, in a new folder, may help",
            1,
        )


def _has_batch_norm(net: "str | Architecture") -> bool:
    from alexnet_jax import architectures
    from alexnet_jax.layer_specs import BatchNorm

    try:
        layers = architectures.get(net).layers
    except (ValueError, TypeError):
        return False  # the run refuses such a network in a sentence
    return any(isinstance(layer, BatchNorm) for layer in layers)


def _choose_experiment(candidates: "Candidates") -> str:
    """Return the experiment for the devices that there are, and print why."""
    import jax

    choice = candidates.on(jax.devices()[0].platform)
    if distributed.is_main_process():
        print(choice.sentence, flush=True)
    return choice.experiment


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main, outlives_reader=True)
