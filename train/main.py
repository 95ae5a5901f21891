"""The command: `python -m train.main --devices 2`.

JAX is imported only after the flags are read, so that `--help` answers at once and the process
can still be set up for the devices that were asked for.
"""

from train import platform, processes
from train.command import command
from train.command_line import parse


def main(argv: list[str] | None = None) -> None:
    """Read the flags, make the devices, train; or plan."""
    settings = parse(argv)
    with processes.not_waiting_for_others():
        platform.prepare(settings.devices, lambda: processes.join(settings))
        platform.keep_compilations()
        if settings.plan:
            from train.plan import plan

            plan(settings)
            return
        from train.training import train

        train(settings)


if __name__ == "__main__":
    platform.use_huge_pages()
    command(main)
