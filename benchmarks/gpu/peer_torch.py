"""The same step and forward pass in PyTorch: a worker, `python -m benchmarks.gpu.peer_torch`.

Channels last, with the fused optimizer; `torch.compile` takes augmentation, network and loss as
one function. The norms are shifted sums, which a compiler fuses: PyTorch's own takes the average
over a fifth axis.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's convention
from torch import nn

from benchmarks.peer_torch import Paper, response_norm
from benchmarks.worker import answer_requests, time_steps

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZE, STORED, CLASSES = 224, 256, 1000
COMPILED = {"compile": None, "compile-graphs": "reduce-overhead"}
"""`mode` of torch.compile, by the variant; the second one replays CUDA graphs."""


def shifted_norm(x: torch.Tensor) -> torch.Tensor:
    """Section 3.3 inside each tower, with sums in float32 as ours."""
    halves = []
    for half in x.chunk(2, 1):
        wide = half.float()
        padded = F.pad(wide * wide, (0, 0, 0, 0, 2, 2))
        total = sum(padded[:, i : i + half.shape[1]] for i in range(5))
        d = 2 + 1e-4 * total
        halves.append((wide * torch.rsqrt(d * torch.sqrt(d))).to(half.dtype))
    return torch.cat(halves, 1)


def augment(images: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return random crops of [n, 256, 256, 3], half of them flipped: [n, 3, 224, 224]."""
    n, device = len(images), images.device
    row, column = (torch.randint(0, STORED - SIZE + 1, (n, 1, 1), device=device) for _ in "rc")
    places = torch.arange(SIZE, device=device)
    flipped = torch.rand((n, 1, 1), device=device) < 0.5
    across = torch.where(flipped, SIZE - 1 - places, places)
    rows, columns = row + places[None, :, None], column + across
    numbers = torch.arange(n, device=device)[:, None, None]
    crops = images[numbers, rows, columns].float() - mean[rows, columns]
    return crops.permute(0, 3, 1, 2)  # in memory the channels are last


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Compute on tensors of float32 as ours does at a `--precision`: by default in TF32."""
    exact = precision == "highest"
    torch.set_float32_matmul_precision("highest" if exact else "high")
    torch.backends.cudnn.allow_tf32 = not exact
    cast = torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16")
    with cast:
        yield


class Torch:
    """The variants that are built, by their keys."""

    def __init__(self) -> None:
        """Let cuDNN choose its algorithms by time."""
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(0)
        self.runs: dict[str, Callable[[int], float]] = {}

    def about(self) -> dict[str, Any]:
        """Return the version and the device."""
        name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
        return {"torch": torch.__version__, "device": name, "cuda": torch.version.cuda}

    def build(self, key: str, task: str, batch: int, precision: str, how: str) -> dict[str, float]:
        """Build a variant and run it; it is then known as `key`.

        `how` is "eager", "eager-own-norm" or one of COMPILED.
        """
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()  # by other variants
        start = time.perf_counter()
        net = Paper(response_norm if how == "eager-own-norm" else shifted_norm)
        net.to(DEVICE, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's overloads
        images = torch.randint(0, 256, (batch, STORED, STORED, 3), dtype=torch.uint8, device=DEVICE)
        prepare = train_run if task == "train" else forward_run
        self.runs[key] = prepare(net, images, precision, how)
        self.runs[key](3)
        figures = {"build_s": round(time.perf_counter() - start, 2)}
        if DEVICE == "cuda":
            figures["memory_MB"] = round((torch.cuda.max_memory_allocated() - before) / 1e6)
        return figures

    def ceilings(self) -> dict[str, float]:
        """Return what the device does: a copy in GB/s, large products in TFLOP/s."""
        side, count = (8192, 2**31) if DEVICE == "cuda" else (256, 2**20)
        source = torch.empty(count, dtype=torch.uint8, device=DEVICE)
        target = torch.empty_like(source)
        found = {"copy_GB_per_s": 2 * count / seconds_of(lambda: target.copy_(source)) / 1e9}
        for precision in ("bfloat16", "default", "highest"):
            x, y = (torch.randn(side, side, device=DEVICE) for _ in "xy")
            if precision == "bfloat16":
                x, y = x.bfloat16(), y.bfloat16()
            with products(precision):
                taken = seconds_of(lambda x=x, y=y: x @ y)
            found[f"product_{precision}_TFLOP_per_s"] = 2 * side**3 / taken / 1e12
        return found


def train_run(
    net: nn.Module, images: torch.Tensor, precision: str, how: str
) -> Callable[[int], float]:
    """Return a function that trains a number of steps, and returns the last loss."""
    mean = torch.full((STORED, STORED, 3), 127.5, device=DEVICE)
    labels = torch.randint(0, CLASSES, (len(images),), device=DEVICE)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=DEVICE == "cuda"
    )

    def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(net(augment(images, mean)).float(), labels)

    compute = torch.compile(loss_of, mode=COMPILED[how]) if how in COMPILED else loss_of

    def run(count: int) -> float:
        for _ in range(count):
            with products(precision):
                loss = compute(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss)

    return run


def forward_run(
    net: nn.Module, images: torch.Tensor, precision: str, how: str
) -> Callable[[int], float]:
    """Return a function that runs a number of forward passes; in bfloat16 the weights are, too."""
    net.eval()
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    net.to(dtype)
    centered = augment(images, torch.full((STORED, STORED, 3), 127.5, device=DEVICE)).to(dtype)
    compute = torch.compile(net, mode=COMPILED[how]) if how in COMPILED else net
    exact = "highest" if precision == "highest" else "default"

    def run(count: int) -> float:
        with torch.inference_mode(), products(exact):
            for _ in range(count):
                logits = compute(centered)
        return float(logits[0, 0])

    return run


def seconds_of(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the seconds of one of several runs, after one that is not counted."""
    run()
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronize()
    return (time.perf_counter() - start) / repeats


def synchronize() -> None:
    """Wait until the device has done its work."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    torch_runs = Torch()
    answer_requests(
        {
            "about": torch_runs.about,
            "build": torch_runs.build,
            "seconds": lambda key, count: time_steps(torch_runs.runs[key], count),
            "ceilings": torch_runs.ceilings,
        }
    )
