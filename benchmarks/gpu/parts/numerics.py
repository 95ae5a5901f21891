"""The numbers of the card against those of a CPU, in each precision."""

import numpy as np

from benchmarks.children import RequestFailed, WorkerGone
from benchmarks.gpu.check import Check
from benchmarks.gpu.numbers import compare


def run(check: Check) -> None:
    """Compute the reference on the CPU while the card computes its own, then compare."""
    sizes, found = check.sizes, {}
    request = {"batch": sizes.numbers_batch, "steps": sizes.numbers_steps}
    files = {name: check.out / f"numbers-{name}.npz" for name in ("cpu", *sizes.precisions)}
    with check.ours(JAX_PLATFORMS="cpu") as cpu, check.ours() as card:
        cpu.send("numbers", precision="highest", file=str(files["cpu"]), **request)
        answers = {}
        for precision in sizes.precisions:
            try:
                file = str(files[precision])
                answers[precision] = card.ask(
                    "numbers", check.seconds_left(), precision=precision, file=file, **request
                )
            except (RequestFailed, WorkerGone) as error:
                found[precision] = {"error": str(error)}
        answers["cpu"] = cpu.receive(check.seconds_left())
    with np.load(files["cpu"]) as reference:
        for precision in [name for name in answers if name != "cpu"]:
            with np.load(files[precision]) as arrays:
                found[precision] = compare(arrays, reference)
            check.say(f"numerics {precision}: {found[precision]}")
    found["losses"] = {name: answer["losses"] for name, answer in answers.items()}
    check.keep("numerics", found)
    if wrong := [p for p in sizes.precisions if not found[p].get("finite")]:
        raise RuntimeError(f"no finite numbers in {', '.join(wrong)}: {found[wrong[0]]}")
