"""Train a network: `python -m train.main --devices 2`.

JAX is imported only after the flags are parsed: `--help` then answers at once, and the environment
that JAX reads at its start can be set for the requested devices.
"""

from typing import Any

from .config.config import Config
from .config.experiments import EXPERIMENTS
from .config.flags import make_config, names_no_experiment, read_flags
from .runtime import backend, compile_cache, distributed
from .runtime.cli import run_command


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, set up the devices, and train; with --plan, print a dry run."""
    given = read_flags(argv)
    config = make_config(given)
    with distributed.fail_fast():
        backend.set_up_devices(
            config.launch.devices,
            lambda: distributed.join(config),
            batch_norm=_has_batch_norm(given, config),
        )
        compile_cache.enable()
        if names_no_experiment(given):
            config = make_config(given, _choose_experiment(config))
        if config.launch.plan:
            from .dry_run.report import plan

            plan(config)
            return
        from .trainer.train import train

        train(config)


def _has_batch_norm(given: dict[str, Any], config: Config) -> bool:
    """Return whether the network that is to be trained, here on a CPU, has batch normalization."""
    from alexnet_jax import architectures
    from alexnet_jax.layer_specs import BatchNorm

    from .trainer.default_experiment import choose_experiment

    net = config.recipe.net
    if names_no_experiment(given):
        net = EXPERIMENTS[choose_experiment(config, "cpu").experiment].net
    try:
        layers = architectures.get(net).layers
    except (ValueError, TypeError):
        return False  # the run refuses such a network in a sentence
    return any(isinstance(layer, BatchNorm) for layer in layers)


def _choose_experiment(config: Config) -> str:
    """Return the experiment that suits the pictures, and print why."""
    import jax

    from .trainer.default_experiment import choose_experiment

    choice = choose_experiment(config, jax.devices()[0].platform)
    if distributed.is_main_process():
        print(choice.sentence, flush=True)
    return choice.experiment


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main, outlives_reader=True)
