"""The check on a card: run small on a CPU, and what it does when something fails."""

import json
import subprocess
import sys

import numpy as np
import pytest

from alexnet_jax.architectures import PAPER
from benchmarks import children
from benchmarks.gpu import __main__ as command
from benchmarks.gpu.cards import CARDS, Card, excellent_seconds, least_work
from benchmarks.gpu.check import Check
from benchmarks.gpu.numbers import compare
from benchmarks.gpu.parts import speed, tests
from benchmarks.gpu.sizes import REAL
from benchmarks.gpu.variants import Variant, figures, ratios, variants
from train.config.errors import BadInput, Ended


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory):
    """The results of the whole check on a CPU."""
    out = tmp_path_factory.mktemp("check")
    flags = ["--dry", "--budget", "900", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout[-5000:]
    return json.loads((out / "results.json").read_text()), out


def test_every_part_of_a_dry_run_ends_well(dry_run):
    results, _ = dry_run
    assert results["parts"] == list(command.parts())
    assert results["failed"] == {}
    assert results["dry"] is True
    assert results["done"]


def test_the_dry_run_times_every_variant_of_ours_and_says_that_pytorch_is_missing(dry_run):
    found = dry_run[0]["speed"]
    timed = {tuple(row[name] for name in Variant._fields) for row in found["table"]}
    assert timed == {("ours", task, 4, "bfloat16", "jit") for task in ("train", "forward")}
    for row in found["table"]:
        assert row["ms_from_to"][0] <= row["ms"] <= row["ms_from_to"][1]
        assert row["images_per_second"] == pytest.approx(4 * 1e3 / row["ms"], rel=0.05)
    assert "No module named 'torch'" in found["torch"]
    assert found["ratios"] == []


def test_the_dry_run_lists_kernels_and_repeats_steps_bit_for_bit(dry_run):
    results, out = dry_run
    found = {what: results["speed"][what] for what in ("kernels", "same_twice", "loop_body")}
    kernels, twice, loop = (answers["bfloat16, jit"] for answers in found.values())
    rows = json.loads((out / kernels["all"]).read_text())
    assert rows[:3] == kernels["longest"][:3]
    assert sum(row["ms"] for row in rows) == pytest.approx(kernels["device_ms"])
    assert (twice["arrays"], twice["arrays_that_differ"]) == (6, [])
    assert len(loop) == 4
    assert all(value > 0 for value in loop.values())


def test_the_dry_run_finds_the_rounding_of_bfloat16(dry_run):
    """Its numbers have 8 bits: 0.004 of them each."""
    found = dry_run[0]["numerics"]
    assert 1e-4 < found["bfloat16"]["logits"] < 0.02
    assert (
        1e-4 < found["bfloat16"]["gradients_median"] < found["bfloat16"]["gradients_worst"] < 0.05
    )
    assert 0 < found["bfloat16"]["loss_worst_step"] < 0.05
    assert len(found["losses"]["cpu"]) == len(found["losses"]["bfloat16"]) == 3


def test_the_dry_run_reads_records_trains_from_them_and_resumes(dry_run):
    results, _ = dry_run
    names = ("simplejpeg", "pillow", "raw")
    assert {*results["loader"]} == {
        f"{name}, {count} threads" for name in names for count in (1, 2)
    }
    assert all(turn["per_core_second"] > 0 for turn in results["loader"].values())
    [run] = results["end_to_end"].values()
    assert run["share"] == pytest.approx(run["images_per_second"] / run["synthetic"], abs=1e-3)
    resumed = results["resume"]["deterministic"]
    assert resumed["arrays_that_differ_again"] == resumed["arrays_that_differ_resumed"] == 0
    assert len({*resumed["last_losses"]}) == 1
    assert results["tests"]["counts"]["passed"] > 0
    assert results["tests"]["failed"] == {}
    assert results["first_command"]["devices_2"]["status"] == 0


def test_a_part_that_fails_costs_itself_alone_and_the_command_fails(tmp_path, monkeypatch, capsys):
    def fail(check):
        check.keep("second", {"half": 1})
        raise RuntimeError("the card is on fire")

    monkeypatch.setattr(
        command,
        "parts",
        lambda: {
            "machine": command.Part(0.2, lambda check: check.keep("machine", {})),
            "second": command.Part(0.3, fail),
            "third": command.Part(0.5, lambda check: check.keep("third", check.seconds_left())),
        },
    )
    sentence = "1 of 3 parts failed; second: RuntimeError: the card is on fire"
    with pytest.raises(Ended, match=sentence):
        command.main(["--dry", "--out", str(tmp_path), "--budget", "100"])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["failed"] == {"second": "RuntimeError: the card is on fire"}
    assert results["second"] == {"half": 1}
    assert 90 < results["third"] <= 100  # it has the time that the others have left
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--parts speed,none", "--parts: 'none' is none of machine, first_command"),
        ("--torch-python none", "--torch-python: none is no program"),
        ("--out /dev/null", "--out: /dev/null cannot be a folder: File exists"),
        ("--compile-only none", "none is none of a100, h100"),
        ("--budgets 3", "no flag --budgets; did you mean --budget"),
        ("--budget x", "--budget: 'x' is not a number of seconds above 0"),
        ("--budget -1", "--budget: '-1' is not a number of seconds above 0"),
    ],
)
def test_wrong_flags_are_refused(flags, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        command.main(flags.split())
    assert [*tmp_path.iterdir()] == []


class Dying:
    """Stands for a worker that dies after some requests."""

    def __init__(self, lives):
        self.lives = lives

    def ask(self, what, limit, **arguments):
        self.lives -= 1
        if self.lives < 0:
            raise children.WorkerGone(f"it ended at {what}")
        return {"seconds": 0.5, "alone": 0.6} if what == "seconds" else {"memory_MB": 1}

    def close(self):
        pass


@pytest.mark.parametrize(("dies", "lives_on"), [("ours", "torch"), ("torch", "ours")])
def test_the_figures_of_one_side_survive_the_death_of_the_other(tmp_path, dies, lives_on):
    check = Check(tmp_path, tmp_path, 100, dry=True, torch_python="none")
    check.results["machine"] = {"jax": {"device_kind": "cpu"}}
    both = speed.Speed(check, {dies: Dying(1), lives_on: Dying(1000)})
    both.build_all()
    both.time_all()
    check.close()
    found = json.loads((tmp_path / "results.json").read_text())["speed"]
    assert {row["side"] for row in found["table"]} == {lives_on}
    assert found["ended"] == {dies: "it ended at build"}
    assert "it ended at build" in found["not_built"].values()


def test_the_least_work_of_the_paper_is_what_its_figure_2_adds_up_to():
    """By hand: products, 61 million parameters, and the inputs of layers with a backward pass."""
    products, first, parameters = 724_406_816, 55 * 55 * 96 * 363, 60_965_224
    conv1, conv2 = 55 * 55 * 96, 27 * 27 * 256
    kept = 3 * 224**2 + 2 * conv1 + 27 * 27 * 96 + 2 * conv2 + 13 * 13 * (256 + 2 * 384 + 256)
    kept += 6 * 6 * 256 + 2 * 4096
    work = least_work(PAPER, "train", 128, "default")
    assert work.operations == 128 * 2 * (3 * products - first)
    assert work.operations / 128 == pytest.approx(4.136e9, rel=1e-3)
    assert work.bytes == 32 * parameters + 128 * 20 * kept  # 1.95 and 3.6 GB
    assert least_work(PAPER, "train", 128, "bfloat16").bytes == 30 * parameters + 128 * 10 * kept
    forward = least_work(PAPER, "forward", 64, "bfloat16")
    assert forward == (64 * 2 * products, 2 * (parameters + 2 * 64 * kept))


def test_shares_of_a_card_follow_from_its_datasheet():
    """By hand: an H100 multiplies 989 TFLOP/s in bfloat16 and moves 3.35 TB/s."""
    work = least_work(PAPER, "train", 128, "bfloat16")
    excellent = work.operations / (0.6 * 989e12) + work.bytes / (0.85 * 3350e9)
    variant = Variant("ours", "train", 128, "bfloat16", "jit")
    turns = [{"seconds": s, "alone": 0.009} for s in (0.003, 0.004, 0.008)]
    row = figures(variant, turns, PAPER, "NVIDIA H100 80GB HBM3")
    assert row["ms"] == 4
    assert row["ms_from_to"] == [3, 8]
    assert row["images_per_second"] == 32000
    assert row["of_excellent"] == pytest.approx(excellent / 0.004, abs=1e-3)
    assert row["of_peak_products"] == pytest.approx(128 * 4.136e9 / 0.004 / 989e12, abs=2e-3)
    assert 50_000 < row["excellent_images_per_second"] < 60_000
    for kind in ("NVIDIA H100 NVL", "NVIDIA H200 MIG 1g.18gb", "cpu"):
        assert "of_excellent" not in figures(variant, turns, PAPER, kind)


def test_a_card_without_bfloat16_has_no_share_of_it():
    assert CARDS["Tesla T4"].peak("default") == CARDS["Tesla T4"].peak("highest") == 8.1
    work = least_work(PAPER, "train", 1, "bfloat16")
    assert excellent_seconds(work, CARDS["Tesla T4"], "bfloat16") is None
    assert Card(1, 2, 3, 4).peak("default") == 3


def test_variants_are_each_asked_once_and_the_first_batch_comes_first():
    asked = list(variants(REAL))
    assert len({*asked}) == len(asked)
    assert asked[0] == ("ours", "train", 128, "default", "jit")
    ours = [v for v in asked if v.side == "ours"]
    assert len(ours) == 2 * 3 * 3 + 3  # a deterministic step in each precision
    assert all(any(v.rivals(o._asdict()) for v in asked if v.side == "torch") for o in ours)


def test_a_ratio_is_taken_to_the_fastest_rival_in_the_same_precision():
    def row(side, precision, how, ms):
        return Variant(side, "train", 8, precision, how)._asdict() | {"ms": ms}

    table = [row("ours", "default", "jit", 2.0), row("torch", "default", "eager", 5.0)]
    table += [row("torch", "default", "compile", 3.0), row("torch", "bfloat16", "compile", 1.0)]
    [ratio] = ratios(table)
    assert ratio["x"] == 1.5
    assert ratio["best"] == "compile"


def test_numbers_are_compared_by_norms(rng):
    a, b = rng.normal(size=9), rng.normal(size=9)
    expected = {"logits": a, "conv1": b, "fc6": b, "losses": a[:2]}
    found = {
        "logits": 1.25 * a,
        "conv1": 0.5 * b,
        "fc6": b,
        "losses": a[:2] + np.array([0.25, -0.75]),
    }
    result = compare(found, expected)
    assert result["logits"] == pytest.approx(0.25)
    assert (result["worst_gradient"], result["gradients_worst"]) == ("conv1", pytest.approx(0.5))
    assert result["gradients_median"] == pytest.approx(0.25)
    assert result["loss_first_step"] == pytest.approx(0.25)
    assert result["loss_worst_step"] == pytest.approx(0.75)
    assert result["finite"]
    assert not compare(found | {"fc6": b * np.inf}, expected)["finite"]


def test_the_outcomes_of_tests_are_counted_with_their_reasons(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="one"/>'
        '<testcase classname="a" name="two"><skipped message="needs 2 devices"/></testcase>'
        '<testcase classname="a" name="three"><failure message="1e-3 is not 1e-5"/></testcase>'
        '<testcase classname="a" name="four"><error message="no card"/></testcase>'
        '<testcase classname="" name="tests.b"><error message="collection failure">'
        "E   ModuleNotFoundError: No module named 'onnx'</error></testcase>"
        "</testsuite></testsuites>"
    )
    found = tests.outcomes(report)
    assert found["counts"] == {"passed": 1, "skipped": 1, "failed": 2, "missing": 1}
    assert "1e-3 is not 1e-5" in found["failed"]["a.three"]
    assert "no card" in found["failed"]["a.four"]
    assert found["skipped"] == {"a.two": "needs 2 devices"}
    assert found["missing"] == {"tests.b": "No module named 'onnx'"}
    assert tests.outcomes(tmp_path / "missing.xml") == {}
