"""The worker of this package on the card: `python -m benchmarks.gpu.our_worker NET`.

Its variants stay compiled between requests, so that they can take turns with the peer's.
"""

import functools
import sys
from pathlib import Path

from benchmarks.worker import answer_requests, time_steps
from train.runtime import backend, compile_cache


def main() -> None:
    """Answer requests on the first device."""
    backend.set_up_devices(1)
    compile_cache.enable()
    from benchmarks import soak
    from benchmarks.gpu import loading, loop_body, numbers, profile
    from benchmarks.gpu.ours import Ours

    ours = Ours(sys.argv[1])
    answer_requests(
        {
            "about": ours.about,
            "build": ours.build,
            "seconds": lambda key, count: time_steps(ours.runs[key], count),
            "same_twice": ours.same_twice,
            "kernels": lambda key, count, file: profile.kernels(
                functools.partial(ours.runs[key], count), count, Path(file)
            ),
            "loop_body": functools.partial(loop_body.pieces, ours),
            "numbers": functools.partial(numbers.write, ours),
            "load": loading.rate,
            "differences": lambda one, other, step: {
                "arrays": soak.count_differences(Path(one), Path(other), step)
            },
        }
    )


if __name__ == "__main__":
    main()
