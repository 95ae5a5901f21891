"""How large everything in the check is: on a card, and in a dry run on a CPU."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of images, steps and seconds."""

    net: str
    """As `--net` of train.main."""
    batches: tuple[int, ...]
    """To time, the most important ones first; the first is also trained from records."""
    precisions: tuple[str, ...]
    our_ways: tuple[str, ...]
    """How a training step of ours is compiled; the first of them at every batch size."""
    torch_ways: tuple[str, ...]
    """How PyTorch runs, likewise. On a CPU it compiles for minutes."""
    rounds: int
    """In which all variants are timed in turns, after one that is not counted."""
    images_per_turn: int
    profiled_steps: int
    numbers_batch: int
    numbers_steps: int
    first_devices: tuple[int, ...]
    first_flags: tuple[str, ...]
    """Of README's first command, beside --devices."""
    pictures: int
    """Of the records that the loader reads."""
    threads: tuple[int, ...]
    """Of the loader."""
    loaded_batch: int
    loaded_images: int
    """At least, for each number of threads."""
    trained_images: int
    """In a run from records."""
    trained_as: tuple[tuple[str, str, int], ...]
    """Such runs: the encoding of the records, the precision, the number of the batch size."""
    resumed_steps: int
    """Of a run that is stopped half-way and resumed."""
    resumed_as: dict[str, tuple[str, ...]]
    """The flags of such runs, by what results call them."""
    tests: tuple[str, ...]


REAL = Sizes(
    net="PAPER",
    batches=(128, 1024, 256),
    precisions=("default", "bfloat16", "highest"),
    our_ways=("jit", "deterministic"),
    torch_ways=("compile", "compile-graphs", "eager", "eager-own-norm"),
    rounds=5,
    images_per_turn=3000,
    profiled_steps=10,
    numbers_batch=16,
    numbers_steps=20,
    first_devices=(1, 2),
    first_flags=(),
    pictures=6400,
    threads=(1, 2, 4, 8, 16, 32),
    loaded_batch=128,
    loaded_images=4096,
    trained_images=60_000,
    trained_as=(
        ("jpeg", "bfloat16", 0),
        ("raw", "bfloat16", 0),
        ("jpeg", "default", 0),
        ("raw", "bfloat16", 1),
    ),
    resumed_steps=60,
    resumed_as={"as_it_is": (), "deterministic": ("--deterministic",)},
    tests=("tests/library", "tests/train/steps"),
)

DRY = Sizes(
    net="benchmarks.tiny_net:TINY",
    batches=(4,),
    precisions=("bfloat16",),
    our_ways=("jit",),
    torch_ways=("eager",),
    rounds=2,
    images_per_turn=8,
    profiled_steps=2,
    numbers_batch=4,
    numbers_steps=3,
    first_devices=(2,),
    first_flags=("--net", "benchmarks.tiny_net:TINY", "--steps", "2"),
    pictures=48,
    threads=(1, 2),
    loaded_batch=4,
    loaded_images=16,
    trained_images=24,
    trained_as=(("jpeg", "bfloat16", 0),),
    resumed_steps=2,
    resumed_as={"deterministic": ("--deterministic",)},
    tests=("tests/library/test_printable.py",),
)
