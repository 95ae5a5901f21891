"""The training step and the forward pass, against PyTorch in the same minutes."""

from typing import Any

from benchmarks.children import RequestFailed, Worker, WorkerGone
from benchmarks.gpu.check import Check
from benchmarks.gpu.variants import Variant, figures, ratios, variants
from train.config.config import Config
from train.config.network import get_architecture, read_net

_BUILDING, _AFTERWARDS = 0.6, 0.15
"""Parts of the time: for building variants, and for what follows when they have been timed."""
_LEAST = 5
"""Seconds that a request may need; one that gets no answer ends its worker."""


def run(check: Check) -> None:
    """Build the variants, time them in turns, then look into the step at the first batch size."""
    workers = {"ours": check.ours()}
    speed = Speed(check, workers)
    try:
        speed.start_torch()
        speed.build_all()
        speed.time_all()
        speed.look_into_the_step()
    finally:
        for worker in workers.values():
            worker.close()
    if "ours" in speed.found["ended"]:
        raise RuntimeError(speed.found["ended"]["ours"])
    if not any(row["side"] == "ours" for row in speed.found["table"]):
        raise RuntimeError("no variant of ours could be timed")


class Speed:
    """The variants that could be built, and their times."""

    def __init__(self, check: Check, workers: dict[str, Worker]) -> None:
        """Take the workers by side; those that end are removed."""
        self.check, self.workers = check, workers
        self.found: dict[str, Any] = {"built": {}, "not_built": {}, "ended": {}}
        self.found |= {"table": [], "ratios": []}
        self.built: list[Variant] = []
        self.net = get_architecture(Config().replace(net=read_net(check.sizes.net)))

    def start_torch(self) -> None:
        """Start the peer, or say why there is none."""
        check = self.check
        code = "import torch; print(torch.__version__)"
        probe = check.run(check.torch_python, "-c", code)
        if probe.status == 0:
            self.found["torch"] = probe.output.strip()
            self.workers["torch"] = check.worker(check.torch_python, "benchmarks.gpu.peer_torch")
        else:
            reason = (probe.errors.strip().splitlines() or ["no reason given"])[-1]
            self.found["torch"] = f"{check.torch_python} has no PyTorch: {reason}"
            check.say(f"  {self.found['torch']}; --torch-python names an interpreter that has it")

    def ask(self, side: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer of a side, or {"error": why there is none}."""
        if side not in self.workers:
            return {"error": self.found["ended"].get(side, f"{side} does not run here")}
        limit = self.check.seconds_left()
        if limit < _LEAST:
            return {"error": "no time left"}
        try:
            return self.workers[side].ask(what, limit, **arguments)
        except RequestFailed as error:
            return {"error": str(error)}
        except WorkerGone as error:
            self.workers.pop(side).close()
            self.found["ended"][side] = str(error)
            self.check.say(f"  {error}")
            return {"error": str(error)}

    def build_all(self) -> None:
        """Build one variant at a time: as they choose kernels by time, they need the card alone."""
        end = self.check.seconds_left() * (1 - _BUILDING)
        for variant in variants(self.check.sizes):
            if variant.side not in self.workers:
                continue
            answer = {"error": "no time left"}
            if self.check.seconds_left() > end:
                request = variant._asdict() | {"key": variant.key}
                answer = self.ask(request.pop("side"), "build", **request)
                self.check.say(f"  {variant.key}: {answer}")
            if "error" in answer:
                self.found["not_built"][variant.key] = answer["error"]
            else:
                self.found["built"][variant.key] = answer
                self.built.append(variant)
            self.check.keep("speed", self.found)

    def time_all(self) -> None:
        """Time all variants in turns; the first round, which warms clocks up, is not counted."""
        end, sizes = self.check.seconds_left() * _AFTERWARDS, self.check.sizes
        kind = self.check.results["machine"]["jax"]["device_kind"]
        turns: dict[Variant, list[dict[str, float]]] = {variant: [] for variant in self.built}
        for number in range(sizes.rounds + 1):
            for variant in self.built:
                if self.check.seconds_left() < end:
                    break
                count = max(3, sizes.images_per_turn // variant.batch)
                answer = self.ask(variant.side, "seconds", key=variant.key, count=count)
                if "error" in answer:
                    self.found["built"][variant.key]["error"] = answer["error"]
                elif number:
                    turns[variant].append(answer)
            rows = [figures(v, taken, self.net, kind) for v, taken in turns.items() if taken]
            # In a dry run PyTorch alone computes the whole of PAPER.
            self.found |= {"table": rows, "ratios": [] if self.check.dry else ratios(rows)}
            self.check.keep("speed", self.found)
        for row in self.found["table"]:
            self.check.say("  " + "  ".join(f"{name} {value}" for name, value in row.items()))
        for ratio in self.found["ratios"]:
            self.check.say(f"  ours against the best of PyTorch: {ratio}")

    def look_into_the_step(self) -> None:
        """Keep kernels by time, whether two runs agree, and what the loop adds to a step."""
        check, first = self.check, self.check.sizes.batches[0]
        if "torch" in self.workers:
            self.found["ceilings"] = self.ask("torch", "ceilings")
            check.say(f"  ceilings: {self.found['ceilings']}")
        count = check.sizes.profiled_steps
        for variant in self.built:
            if variant[:3] != ("ours", "train", first) or variant.precision == "highest":
                continue
            name = f"{variant.precision}, {variant.how}"
            file = str(check.out / f"kernels-{variant.precision}-{variant.how}.json")
            for what, more in {
                "kernels": {"count": count, "file": file},
                "same_twice": {"count": count},
                "loop_body": {"count": 3 * count},
            }.items():
                answer = self.ask("ours", what, key=variant.key, **more)
                self.found.setdefault(what, {})[name] = answer
                check.keep("speed", self.found)
                check.say(f"  {what}, {name}: {str(answer)[:1200]}")
