"""The command: `python -m train.main --devices 2`.

JAX is imported only after the flags are read, so that `--help` answers at once and the process
can still be set up for the devices that were asked for.
"""

from .config.flags import parse
from .runtime import backend, distributed
from .runtime.cli import run_command


def main(argv: list[str] | None = None) -> None:
    """Read the flags, make the devices, train; or plan."""
    settings = parse(argv)
    with distributed.fail_fast():
        backend.set_up_devices(settings.launch.devices, lambda: distributed.join(settings))
        backend.enable_compile_cache()
        if settings.launch.plan:
            from .dry_run.report import plan

            plan(settings)
            return
        from .trainer.train import train

        train(settings)


if __name__ == "__main__":
    backend.restart_with_huge_pages()
    run_command(main)
