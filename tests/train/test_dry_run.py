"""`--plan`: the figures of a run, against published counts and the compiled program."""

import math
import re
from pathlib import Path

import jax
import pytest

import alexnet_jax
from alexnet_jax import architectures
from tests.support.commands import run
from tests.support.tiny import TINY
from train.config.config import Config
from train.config.errors import BadInput
from train.config.flags import parse
from train.data.synthetic import synthetic_data
from train.dry_run.report import (
    evaluations,
    flops,
    learning_rates,
    memory,
    planned_run,
    recipe,
    span,
)
from train.dry_run.timing import StepTimer, synthetic_run
from train.dry_run.traffic import traffic
from train.runtime.hlo import Transfer, list_transfers, parse_transfer


@pytest.mark.parametrize(
    ("name", "gigaflops"),
    [
        ("PAPER", 4.136),
        ("SINGLE_TOWER", 6.601),
        ("ONE_WEIRD_TRICK", 4.145),
        ("ONE_GPU", 2.244),
        ("SIX_CONV", 4.263),
    ],
)
def test_operations_per_image_equal_the_published_ones(name, gigaflops):
    assert flops(architectures.by_name(name)) / 1e9 == pytest.approx(gigaflops, abs=0.001)


@pytest.fixture(scope="module")
def timer():
    """The timer of a tiny network on two devices, after its two steps."""
    settings = Config().replace(devices=2, batch_size=4, flip=True, pca_color="original")
    settings = settings.replace(pca_color_until=3.0)
    data = synthetic_data(18, train=100, test=10, classes=7)
    mesh = alexnet_jax.make_mesh(2)
    with StepTimer(synthetic_run(settings.replace(stored_size=18), TINY, data, mesh)) as step_timer:
        shown = []
        seconds = step_timer.seconds(1, 100, lambda *latest: shown.append(latest))
        assert [step for step, _ in shown] == [1, 2]
        assert seconds == [shown[-1][1]]
        yield step_timer


def test_the_towers_exchange_the_bytes_of_their_maps_and_logits(timer):
    """Each tower sends half of a gathered input and of its gradient, and all of the logits."""
    inputs = {"conv3": 3 * 3 * 12, "fc6": 8, "fc7": 32}  # floats per image
    expected = [("all-reduce", 4 * 4 * 7)]
    for numbers in inputs.values():
        expected += [("all-gather", 4 * 4 * numbers / 2), ("reduce-scatter", 4 * 4 * numbers / 2)]
    transfers = list_transfers(timer.program)
    assert sorted((moved.operation, moved.sent) for moved in transfers) == sorted(expected)
    text = [line for _, line in traffic(timer.run, transfers)]
    for layer in inputs:
        assert sum(f"  the input of {layer}" in line for line in text) == 1
        assert sum(f"the gradient of the input of {layer}" in line for line in text) == 1
    assert sum("the sum of fc8's logits" in line for line in text) == 1
    assert text[7].endswith("in 7 collectives")


def test_each_device_holds_half_of_the_parameters_and_of_the_velocity(timer):
    size = 4 * ((TINY.parameters - 7) / 2 + 7)  # bytes; both devices hold the biases of the logits
    lines = dict(memory(timer))
    assert lines["parameters"] == lines["velocity"] == f"{size / 1e3:,.1f} kB"
    assert lines["images, labels"] == f"{4 * (18 * 18 * 3 + 4 * 4) / 1e3:,.1f} kB"
    activations, total = (
        float(lines[name].split()[0].replace(",", "")) for name in ("activations", "total")
    )
    assert activations > 4 * 4 * 7 * 7 * 8 / 1e3  # conv1's maps at least
    assert total > 2 * size / 1e3 + activations
    state = jax.tree.map(lambda x: x.addressable_shards[0].data.nbytes, timer.state.params)
    assert sum(jax.tree.leaves(state)) == size


@pytest.mark.parametrize(
    ("seconds_a_step", "limit", "timed"),
    [(1, 20, 5), (3, 20, 5), (7, 20, 2), (20, 20, 1), (500, 20, 1)],
)
def test_a_dry_run_ends_after_five_steps_or_the_limit(
    timer, monkeypatch, seconds_a_step, limit, timed
):
    """The first step is not timed unless it is the only one."""
    now, shown = [0], []

    def run_steps(steps, until, on_step):
        assert until == limit
        for step in steps:
            now[0] += seconds_a_step
            on_step(step, seconds_a_step)
        return [seconds_a_step] * len(steps)

    monkeypatch.setattr(timer, "run_steps", run_steps)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    seconds = timer.seconds(5, limit, lambda *latest: shown.append(latest))
    assert seconds == [seconds_a_step] * timed
    assert shown == [(number + 1, seconds_a_step) for number in range(len(shown))]
    assert sum(seconds) <= limit or timed == 1


def test_steps_that_turn_out_slower_than_the_first_one_end_at_the_limit_too(timer):
    shown = []
    timer.run_steps(range(1, 100), 0, lambda *latest: shown.append(latest))
    assert [step for step, _ in shown] == [1]


@pytest.mark.parametrize("layout", ["tower", "dense"])
def test_layers_with_inputs_of_equal_size_are_both_named(layout):
    """In DIGITS both fc6 and fc7 have 256 input features."""
    run = plan_imagenet(plan_images=(100,), plan_classes=10, devices=2, batch_size=4, layout=layout)
    moved = Transfer("all-gather", 4 * 256, 2048)
    assert traffic(run, [moved])[0][1].endswith("the input of fc6 or fc7")


def test_devices_that_share_dense_layers_send_logits_and_their_gradients():
    """Two images of 10 classes on each of two devices."""
    run = plan_imagenet(
        plan_images=(100,), plan_classes=10, devices=2, batch_size=4, layout="dense"
    )
    moved = [Transfer("reduce-scatter", 20, 80), Transfer("all-gather", 40, 80)]
    (_, logits), (_, gradient), _ = traffic(run, moved)
    assert logits.endswith("the sum of fc8's logits")
    assert gradient.endswith("the gradient of fc8's logits")


@pytest.mark.parametrize(
    ("operation", "type", "numbers", "sent"),
    [
        ("all-gather", "f32[4,13,13,256]{3,2,1,0}", 173_056, 346_112),
        ("all-gather-start", "(bf16[4,128]{1,0:T(8,128)}, bf16[4,256]{1,0})", 1024, 1024),
        ("all-reduce", "(f32[8]{0}, f32[]{})", 9, 36),
        ("all-reduce-start", "f32[8]{0}", 8, 32),
        # As XLA writes them for GPUs, with the operands in a tuple of their own.
        ("all-reduce-start", "((bf16[8]{0}), bf16[8]{0})", 8, 16),
        ("all-gather-start", "((f32[2]{0}, f32[3]{0}), (f32[4]{0}, f32[6]{0}))", 10, 20),
        ("reduce-scatter-start", "((f32[8,4]{1,0:T(8,128)}), f32[4,4]{1,0})", 16, 64),
        ("reduce-scatter", "f32[4,128]{1,0}", 512, 2048),
    ],
)
def test_a_transfer_is_parsed_from_an_instruction(operation, type, numbers, sent):
    kind = operation.removesuffix("-start")
    assert parse_transfer(operation, type, "replica_groups={{0,1}}") == (kind, numbers, sent)


IMAGENET = Config().replace(plan=True, plan_images=(1_281_167, 50_000))


def plan_imagenet(**changes):
    return planned_run(IMAGENET.replace(**changes))


def test_a_run_on_imagenets_counts_is_planned_without_imagenet():
    settings = parse(["--experiment", "paper", "--plan", "--plan-images", "1281167", "50000"])
    run = planned_run(settings.replace(devices=2))
    lines = dict(recipe(run))
    assert lines["network"] == "60,965,224 parameters, 2 towers"
    assert lines["data"] == "1,281,167 training and 50,000 test images, synthetic, 1,000 classes"
    assert lines["images"].startswith("224 of 256 pixels square, random crops, horizontal flips")
    assert lines["step"].startswith("128 images, 529.4 GFLOP")
    assert lines["epoch"] == "10,009.1 steps"
    assert lines["run"] == "90 epochs, 900,821 steps"
    assert "divided by ten, at most 3 times" in lines["learning rate"]
    assert evaluations(run) == 90


@pytest.mark.parametrize(
    ("experiment", "images", "optimizer"),
    [
        ("keras-flowers", "227 of 227 pixels square", "SGD, momentum 0, weight decay 0"),
        (
            "flowers",
            "227 of 256 pixels square, random crops, horizontal flips, "
            "PCA color augmentation: original",
            "SGD, momentum 0.9, weight decay 0.0005, 2 epochs of warm-up from 0.0005",
        ),
        (
            "original",
            "224 of 256 pixels square, random crops, horizontal flips, 32 in a row alike, "
            "PCA color augmentation: original until epoch 67",
            "SGD, momentum 0.9, weight decay 0.0005, none of biases",
        ),
        (
            "cifar-11pct",
            "24 of 32 pixels square, random crops, horizontal flips",
            "SGD, momentum 0.9, weight decay 0.004 (conv1=0 conv2=0 fc10=0.01), none of biases",
        ),
        ("keras-mnist", "224 of 224 pixels square", "Adam, momentum 0.9, weight decay 0"),
    ],
)
def test_a_plan_states_the_augmentation_and_the_optimizer(experiment, images, optimizer):
    settings = parse(["--experiment", experiment, "--plan", "--plan-images", "99"])
    lines = dict(recipe(planned_run(settings)))
    assert (lines["images"], lines["optimizer"]) == (images, optimizer)


@pytest.mark.parametrize(
    ("images", "batch_size", "steps", "count"),
    [(100, 10, 20, 2), (100, 10, 25, 3), (100, 30, 4, 1), (100, 30, 5, 2), (10, 30, 3, 3)],
)
def test_a_run_is_evaluated_after_each_epoch_and_after_its_last_step(
    images, batch_size, steps, count
):
    """Epochs of 10 steps; of 3.33 steps, so the first ends with step 4; of less than a step."""
    changes = {"plan_images": (images,), "batch_size": batch_size, "steps": steps}
    assert evaluations(plan_imagenet(**changes)) == count


def test_the_learning_rates_are_listed_by_epoch():
    step_decay = plan_imagenet(cut_epochs=(10.0, 20.0), epochs=16.0, bias_rate=2)
    assert [line for _, line in learning_rates(step_decay)] == [
        "from epoch 0: 0.01, biases 0.02",
        "from epoch 10: 0.001, biases 0.002",
        "from epoch 20, after the end of the run: 0.0001, biases 0.0002",
    ]
    original = [line for _, line in learning_rates(plan_imagenet(schedule="original", epochs=91.0))]
    assert original[3] == "from epoch 67: 1e-05, biases 0.02, conv1 alone"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0.2 seconds"), (90, "1.5 minutes"), (7200, "2.0 hours"), (3.2e6, "37.0 days")],
)
def test_a_duration_is_given_in_its_largest_unit(seconds, text):
    assert span(seconds) == text


def test_the_command_plans_on_real_images_and_keeps_nothing(tmp_path):
    options = {"cwd": tmp_path, "env": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    done = run("train.main", "--plan", "--devices", 2, "--batch-size", 250, **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  epoch          18.0 steps\n" in done.stdout
    assert "4,500 training, 500 validation and 1,000 test images, 10 classes" in done.stdout
    assert "compiling the training step" in done.stdout
    assert "images read from the package" in done.stdout
    assert "GFLOP forward and backward, products in float32\n" in done.stdout
    [rate] = re.findall(r"speed +([\d.,]+) images/s", done.stdout)
    [duration] = re.findall(r"training +([\d.]+) (seconds|minutes|hours)", done.stdout)
    unit = {"seconds": 1, "minutes": 60, "hours": 3600}[duration[1]]
    expected = 16 * 4500 / float(rate.replace(",", ""))
    assert math.isclose(float(duration[0]) * unit, expected, rel_tol=0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--plan-images", "5"], "--plan-images is for --plan"),
        (["--plan", "--plan-images", "0"], "--plan-images must be one number above 0, or two"),
        (["--plan", "--plan-images", "5", "5", "5"], "--plan-images must be one number above 0"),
        (["--plan", "--plan-images", "5", "--plan-classes", "1"], "--plan-classes must be above 1"),
        (["--plan", "--plan-images", "5", "--data", "x"], "--plan-images stands in for data"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(flags, words):
    with pytest.raises(BadInput, match=words):
        parse(flags)


def test_a_plan_with_a_batch_that_cannot_be_divided_is_refused_as_a_run_is():
    flags = ["--plan", "--plan-images", "20", "--devices", "4", "--batch-size", "5"]
    with pytest.raises(BadInput, match="`batch_size` 5: a batch of 5 images cannot be divided"):
        planned_run(parse(flags))
