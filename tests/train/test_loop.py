"""The host reads batches and metrics while the devices run steps; order counts, not seconds."""

import collections
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.towers import global_batch
from tests.train.test_train import CONFIG, DATA
from train.config.errors import BadInput
from train.trainer.loop import train_loop
from train.trainer.read_ahead import ReadAhead
from train.trainer.train import train

SECONDS = 60
"""After which a step that nobody lets go fails the test; a loop that overlaps never comes near."""


class HeldSteps(ThreadPoolExecutor):
    """A device that runs steps in order, and ends each only once the test lets it go."""

    def __init__(self, count):
        super().__init__(1)
        self.gates = [threading.Event() for _ in range(count)]
        self.ended = []

    def step(self, state, batch):
        output = Output(self.submit(self._run, state, batch))
        return output, {"loss": output}

    def _run(self, state, batch):
        number = state.value() + 1
        assert self.gates[number - 1].wait(SECONDS), f"nobody let step {number} go"
        assert batch["rows"].sum() == 2 * number
        self.ended.append(number)
        return number


class Output:
    """What a step returns: not there before the step has ended."""

    def __init__(self, future):
        self.future = future

    def value(self):
        return self.future.result(SECONDS)

    block_until_ready = value


def test_batches_and_metrics_are_read_while_the_next_steps_run():
    """Step n ends only when batch n + 3 is read, and metrics n are read before step n + 1 ends."""
    count, mesh, events = 8, alexnet_jax.make_mesh(1), []

    def batches():
        for number in range(1, count + 1):
            if number > 3:  # the three steps before it are dispatched, and none has ended
                assert held.ended == [*range(1, number - 3)]
                held.gates[number - 4].set()
            rows = {"rows": np.full(2, number, np.int32)}
            yield jax.block_until_ready(global_batch(rows, mesh, 2))
            events.append(("batch", number))

    def record(step, metrics):
        if step > count - 3:  # no batch is left that would let it go
            held.gates[step - 1].set()
        assert metrics["loss"].value() == step
        assert held.ended == [*range(1, step + 1)]
        events.append(("metrics", step))

    with HeldSteps(count) as held, ReadAhead(batches()) as ahead:
        state, reason = train_loop(
            held.step,
            Output(held.submit(int)),
            ahead,
            range(1, count + 1),
            record=record,
            is_due=lambda step: step == count,
            evaluate_and_save=lambda step, state: state,
            save=pytest.fail,
            poll_stop=lambda: None,
        )
    assert (state.value(), reason) == (count, None)
    steps = [step for kind, step in events if kind == "metrics"]
    assert steps == [*range(1, count + 1)]


def add(state, batch):
    return state + batch, {"loss": batch}


@pytest.mark.parametrize("error", [BadInput("a picture"), RuntimeError("a disk")])
def test_an_error_in_reading_ahead_costs_no_step(error):
    """It is raised when its batch is due: after the step in flight, its evaluation and its save."""
    events = []

    def batches():
        yield from (10, 20, 30)
        raise error

    def evaluate_and_save(step, state):
        events.append(("evaluated", step, state))
        return state

    with ReadAhead(batches()) as ahead, pytest.raises(type(error), match=str(error)):
        train_loop(
            add,
            0,
            ahead,
            range(1, 9),
            record=lambda step, metrics: events.append(("recorded", step)),
            is_due=lambda step: step == 3,
            evaluate_and_save=evaluate_and_save,
            save=lambda state: events.append(("saved", state)),
            poll_stop=lambda: None,
        )
    expected = [("recorded", 1), ("recorded", 2), ("recorded", 3), ("evaluated", 3, 60)]
    assert events == expected + [("saved", 60)] * isinstance(error, BadInput)


def test_an_error_in_a_batch_that_is_never_due_is_none():
    def batches():
        yield from (10, 20)
        raise BadInput("a picture")

    with ReadAhead(batches()) as ahead:
        state, reason = train_loop(
            add,
            0,
            ahead,
            range(1, 9),
            record=lambda step, metrics: None,
            is_due=lambda step: False,
            evaluate_and_save=lambda step, state: state,
            save=pytest.fail,
            poll_stop=iter([None, 15]).__next__,
        )
    assert (state, reason) == (30, 15)


class Ready:
    """An array that is ready at some time of a clock, which waiting for it turns on."""

    def __init__(self, clock, time):
        self.clock, self.time, self.awaited = clock, time, threading.Event()

    def block_until_ready(self):
        self.clock[0] = max(self.clock[0], self.time)
        self.awaited.set()


def test_the_devices_wait_from_the_end_of_a_step_until_the_next_batch_is_on_them(monkeypatch):
    clock = [0]
    monkeypatch.setattr("train.trainer.read_ahead.time.monotonic", lambda: clock[0])
    batches = [Ready(clock, time) for time in (0, 10, 12, 30)]
    with ReadAhead(iter(batches)) as ahead:
        assert ahead.take() is batches[0]
        assert ahead.share_waited() is None
        for step_ends, batch in ((4, batches[1]), (14, batches[2]), (20, batches[3])):
            ahead.read(running={"loss": Ready(clock, step_ends)})
            assert batch.awaited.wait(SECONDS)
            if batch is batches[2]:
                clock[0] = 18  # an evaluation, after which the next step begins
            assert ahead.take() is batch
    # Steps of 4, 4 and 2, and waits of 6, 0 and 10.
    assert ahead.share_waited() == pytest.approx(16 / 26)


class Profiles:
    """Profiles of some steps of a run, by what is called after each step; counts events by name."""

    def __init__(self, folder, *steps):
        self.folder, self.steps, self.counts = folder, steps, []

    def __call__(self, step, metrics):
        if any(step == last for _, last in self.steps):
            jax.profiler.stop_trace()
            [trace] = (self.folder / str(len(self.counts))).rglob("*.trace.json.gz")
            events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
            names = (event["name"] for event in events if "name" in event)
            self.counts.append(collections.Counter(names))
        if any(step == first for first, _ in self.steps):
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0
            folder = str(self.folder / str(len(self.counts)))
            jax.profiler.start_trace(folder, profiler_options=options)


def test_a_step_of_a_run_is_one_program_and_one_transfer(tmp_path, monkeypatch):
    transfers = []
    assemble = jax.make_array_from_process_local_data
    monkeypatch.setattr(
        jax,
        "make_array_from_process_local_data",
        lambda sharding, rows, shape: transfers.append([*rows]) or assemble(sharding, rows, shape),
    )
    profiles = Profiles(tmp_path, (3, 6), (6, 19))  # the first steps do what is done once
    # Nothing is evaluated meanwhile: an epoch has 32 steps.
    config = CONFIG.replace(run_dir=tmp_path / "run", steps=22, batch_size=2)
    train(config, DATA, on_step=profiles)
    few, more = profiles.counts
    programs = [name for name in few | more if name.startswith("PjitFunction")]
    changed = [name for name in programs if few[name] != more[name]]
    assert changed == ["PjitFunction(jit(train_step))"]
    assert more["ParseArguments"] - few["ParseArguments"] == 13 - 3  # by any way, one a program
    assert sum("place" in names for names in transfers) == 22
