"""Train a network: `python -m train.main --devices 2`.

JAX is imported only after the flags are parsed: `--help` then answers at once, and the environment
that JAX reads at its start can be set for the requested devices.
"""

from .config.flags import parse
from .runtime import backend, compile_cache, distributed
from .runtime.cli import run_command


def main(argv: list[str] | None = None) -> None:
    """Parse the flags, set up the devices, and train; with --plan, print a dry run."""
    config = parse(argv)
    with distributed.fail_fast():
        backend.set_up_devices(config.launch.devices, lambda: distributed.join(config))
        compile_cache.enable()
        if config.launch.plan:
            from .dry_run.report import plan

            plan(config)
            return
        from .trainer.train import train

        train(config)


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main, outlives_reader=True)
