"""Images per second compared with PyTorch and ONNX Runtime: `python -m benchmarks.throughput`."""

import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from alexnet_jax.visualize.matplotlib_import import import_matplotlib
from benchmarks import children
from train.config.errors import BadInput
from train.runtime.cli import make_parser, new_file, positive, run_command

PEERS = {
    "torch": ["benchmarks.peer_torch", "eager"],
    "torch-compile": ["benchmarks.peer_torch", "compile"],
    "onnxruntime": ["benchmarks.peer_onnxruntime"],
}
OURS = ("ours", "as a library")
TASKS = {
    "train": ("train", 128),
    "forward_128": ("forward", 128),
    "forward_16": ("forward", 16),
    "forward_10": ("ten crops", 10),
    "forward_8": ("forward", 8),
    "forward_1": ("forward", 1),
}
"""What is asked of a worker, and how many images or crops pass through the network at once."""
# One pool of huge pages that is never given back: every peer is fastest with this.
HUGE_PAGES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296"
HUGE_PAGES += ":glibc.malloc.trim_threshold=8589934592:glibc.malloc.arena_max=1"


class Worker(children.Worker):
    """A process that times its implementation on request (see benchmarks.worker)."""

    def __init__(self, python: str, module: list[str], huge_pages: bool) -> None:
        """Start the process in this checkout."""
        environment = {"GLIBC_TUNABLES": HUGE_PAGES} if huge_pages else {}
        super().__init__([python, "-m", *module], environment=environment)

    def seconds(self, task: str, batch: int, repeats: int) -> list[float]:
        """Return the seconds of `repeats` runs of a task. Raises BadInput if it does not run."""
        try:
            return self.ask("seconds", task=task, batch=batch, repeats=repeats)["seconds"]
        except children.RequestFailed as error:
            raise BadInput(f"{self.name} fails: {error}") from None
        except children.WorkerGone:
            raise BadInput(f"{self.name} ended; does --peer-python have what it imports?") from None


def main(argv: list[str] | None = None) -> None:
    """Time ours and the peers round by round; print medians and ratios."""
    flags = make_parser(__spec__.name, __doc__)
    flags.add_argument(
        "--peers", default="torch,torch-compile,onnxruntime", help="separated by commas"
    )
    flags.add_argument("--peer-python", default=sys.executable, help="the peers' interpreter")
    flags.add_argument("--devices", type=positive, default=1, help="devices of the command's")
    flags.add_argument("--tasks", default=",".join(TASKS), help="separated by commas")
    flags.add_argument("--rounds", type=positive, default=5)
    flags.add_argument(
        "--huge-pages", action="store_true", help="for all sides; by default for none"
    )
    flags.add_argument("--json", type=new_file, help="write the figures here")
    flags.add_argument("--chart", type=Path, help="draw them here")
    arguments = flags.parse_args(argv)
    peers = [peer for peer in arguments.peers.split(",") if peer]
    for names, choices in ((peers, PEERS), (arguments.tasks.split(","), TASKS)):
        if unknown := [name for name in names if name not in choices]:
            raise BadInput(f"{unknown[0]} is none of {', '.join(choices)}")

    huge = arguments.huge_pages
    # Training and prediction set XLA up differently, so each has a process of its own.
    ours = {
        kind: Worker(sys.executable, ["benchmarks.ours", str(arguments.devices), kind], huge)
        for kind in ("train", "forward")
    }
    others = {"as a library": Worker(sys.executable, ["benchmarks.as_library"], huge)}
    others |= {peer: Worker(arguments.peer_python, PEERS[peer], huge) for peer in peers}
    results = {}
    for label in arguments.tasks.split(","):
        workers = {"ours": ours["train" if label == "train" else "forward"]} | others
        results[label] = take_turns(workers, *TASKS[label], rounds=arguments.rounds)
        report(label, results[label], TASKS[label][1])
    ratios = {label: against_the_best(medians) for label, medians in results.items()}
    for name in OURS:
        texts = [f"{label} {of[name]:.2f} x" for label, of in ratios.items() if name in of]
        if texts:
            print(f"{name} against the best peer: {', '.join(texts)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": results, "ratios": ratios}, indent=2))
    if arguments.chart:
        draw(results, arguments.chart)


def against_the_best(medians: dict[str, float]) -> dict[str, float]:
    """Return how many times as fast as the best peer each of ours is; nothing without a peer."""
    peers = [seconds for name, seconds in medians.items() if name not in OURS]
    return {name: min(peers) / medians[name] for name in OURS if peers and name in medians}


def take_turns(
    workers: dict[str, Worker], task: str, batch: int, *, rounds: int
) -> dict[str, float]:
    """Return the median seconds of each worker that can run the task, in turns A B C A B C."""
    requests = {name: request for name in workers if (request := asked_of(name, task))}
    repeats = max(1, 20 // batch)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(rounds):
        for name, request in requests.items():
            seconds[name] += workers[name].seconds(request, batch, repeats)
    return {name: statistics.median(times) for name, times in seconds.items()}


def asked_of(name: str, task: str) -> str | None:
    """Return what a worker is asked for a task, None if it cannot do it.

    Only the command cuts ten crops itself; the others are given a batch of ten.
    """
    if task == "train" and name == "onnxruntime":
        return None
    return "forward" if task == "ten crops" and name != "ours" else task


def report(label: str, medians: dict[str, float], batch: int) -> None:
    """Print one task's table."""
    table = Table(title=label)
    for column in ("", "seconds", "images/s"):
        table.add_column(column, justify="left" if not column else "right")
    for name, median in medians.items():
        table.add_row(name, f"{median:.3f}", f"{batch / median:.1f}")
    Console().print(table)


def draw(results: dict[str, dict[str, float]], path: Path) -> None:
    """Draw images per second as bars, a panel for each task."""
    import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(results), 3), layout="constrained")
    for number, (label, medians) in enumerate(results.items(), 1):
        axes = figure.add_subplot(1, len(results), number, title=label, ylabel="images/s")
        rates = [TASKS[label][1] / median for median in medians.values()]
        colors = ["tab:blue" if name in OURS else "tab:gray" for name in medians]
        bars = axes.bar(list(medians), rates, color=colors)
        axes.bar_label(bars, fmt="%.1f")
        axes.margins(y=0.15)
        axes.tick_params("x", rotation=30)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    run_command(main)
