"""Which checkpoints are kept, and how a damaged one is handled."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import alexnet_jax
from alexnet_jax.weights.files import checksums
from tests.support.tiny import TINY
from train.config.errors import BadInput
from train.run_dir.checkpoints import Checkpoints
from train.run_dir.state_diff import describe_difference
from train.steps.optimizers import adam, sgd
from train.steps.train_step import init_state, state_shardings

OPTIMIZER = sgd()


def state(step):
    initial = init_state(jax.random.key(step), TINY, OPTIMIZER)
    return dataclasses.replace(initial, step=jnp.int32(step))


def shardings(devices, dense=1):
    return state_shardings(TINY, OPTIMIZER, alexnet_jax.make_mesh(devices, dense=dense))


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    errors = {1: 0.5, 2: 0.1, 3: 0.4, 4: None, 5: 0.3, 6: None}
    with Checkpoints(tmp_path) as checkpoints:
        for step, error in errors.items():
            checkpoints.save(state(step), step, None if error is None else {"top1_error": error})
            checkpoints.wait()
        kept = sorted(int(path.name) for path in checkpoints.folder.iterdir())
        assert kept == [2, 5, 6]
        assert (checkpoints.latest_step(), checkpoints.best_step()) == (6, 2)


def test_a_checkpoint_is_found_by_step_or_by_name(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(BadInput, match="holds no checkpoint yet"):
            checkpoints.find("latest")
        for step, error in {3: 0.1, 7: 0.2}.items():
            checkpoints.save(state(step), step, {"top1_error": error})
        checkpoints.wait()
        assert [checkpoints.find(which) for which in ("best", "latest", 3, 7)] == [3, 7, 3, 7]
        with pytest.raises(BadInput, match="holds the steps 3, 7, and not 5"):
            checkpoints.find(5)


def test_without_an_evaluation_the_best_is_the_latest(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step() is None
        checkpoints.save(state(3), 3, None)
        checkpoints.wait()
        assert checkpoints.best_step() == 3


@pytest.mark.parametrize(
    ("saved_on", "restored_on"),
    [((1,), (2,)), ((2,), (1,)), ((2,), (4,)), ((2,), (4, 4)), ((8, 4), (2,)), ((4, 4), (1,))],
)
def test_a_checkpoint_restores_on_any_number_of_devices_and_layout(tmp_path, saved_on, restored_on):
    """Devices and, where they share dense layers, how many do."""
    before = jax.device_put(state(7), shardings(*saved_on))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(before, 9, None)
        checkpoints.wait()
        after, position = checkpoints.restore(7, before, shardings(*restored_on))
    assert position == 9
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)
    assert after.params["conv1"].weights.sharding.num_devices == restored_on[0]


def test_a_checkpoint_that_orbax_cannot_read_is_named_too(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state(7), 7, None)
        checkpoints.wait()
        for path in (checkpoints.path(7) / "state").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:10])
        checksums.write(checkpoints.path(7))
        with pytest.raises(BadInput, match=r"checkpoints/7 cannot be read"):
            checkpoints.restore(7, state(7), shardings(1))


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A run folder with the checkpoints of steps 1 and 2, of which 1 has the lower error."""
    run_dir = tmp_path_factory.mktemp("two")
    with Checkpoints(run_dir) as checkpoints:
        for step, error in {1: 0.1, 2: 0.2}.items():
            checkpoints.save(state(step), step, {"top1_error": error})
    return run_dir


def assert_restores(run_dir, which, step):
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        assert checkpoints.find(which) == step
        restored, position = checkpoints.restore(step, state(step), shardings(1))
    assert position == step
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state(step)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_flipped_bit_is_never_read_as_another_number(two_steps, tmp_path, rng):
    run_dir = shutil.copytree(two_steps, tmp_path / "run")
    folder = run_dir / "checkpoints" / "2"
    undetected, files = set(), [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        original = path.read_bytes()
        for place in rng.integers(0, len(original), 5):
            flipped = bytearray(original)
            flipped[place] ^= 1 << rng.integers(0, 8)
            path.write_bytes(flipped)
            if checksums.fault(folder) is None:
                undetected.add(path.name)
                assert_restores(run_dir, 2, 2)
        path.write_bytes(original)
    assert undetected <= {"_CHECKPOINT_METADATA", "commit_success.txt", "digests.json"}


def halve(folder):
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def empty_each_file(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (halve, "is not what was written"),
        (empty_each_file, "its digests.json cannot be read"),
        (lambda f: (f / "state" / "manifest.ocdbt").unlink(), "its state/manifest.ocdbt is missi"),
        (lambda f: (f / "metrics" / "metrics").write_text("{"), "its metrics/metrics is not what"),
        (lambda f: (f / "digests.json").unlink(), "it has no digests.json"),
        (lambda f: (f / "digests.json").write_text('{"sha256": {}}'), "names no files"),
        (empty, "it has no digests.json"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(
    two_steps, tmp_path, capsys, damage, words
):
    run_dir = shutil.copytree(two_steps, tmp_path / "run")
    damaged = run_dir / "checkpoints" / "2"
    damage(damaged)

    assert_restores(run_dir, "latest", 1)
    message = capsys.readouterr().err
    assert message.startswith(f"note: checkpoint {damaged} is skipped: ")
    assert words in message
    assert message.count("\n") == 1
    with (
        Checkpoints(run_dir, read_only=True) as checkpoints,
        pytest.raises(BadInput, match="checkpoints/2 is damaged: "),
    ):
        checkpoints.find(2)

    with Checkpoints(run_dir) as checkpoints:  # as a resumed run opens it
        assert words in capsys.readouterr().err
        assert (run_dir / "damaged" / "2").is_dir()
        assert checkpoints.latest_step() == 1
        checkpoints.save(state(2), 2, None)
    assert_restores(run_dir, "latest", 2)


def test_without_the_best_checkpoint_the_next_best_is_used(two_steps, tmp_path, capsys):
    run_dir = shutil.copytree(two_steps, tmp_path / "run")
    assert_restores(run_dir, "best", 1)
    halve(run_dir / "checkpoints" / "1")
    assert_restores(run_dir, "best", 2)
    assert "checkpoints/1 is skipped" in capsys.readouterr().err


def test_a_run_without_an_undamaged_checkpoint_is_refused_and_left_as_it_is(two_steps, tmp_path):
    run_dir = shutil.copytree(two_steps, tmp_path / "run")
    for step in (1, 2):
        halve(run_dir / "checkpoints" / str(step))
    with pytest.raises(BadInput, match="checkpoints/2 is damaged: its "):
        Checkpoints(run_dir)
    with (
        Checkpoints(run_dir, read_only=True) as checkpoints,
        pytest.raises(BadInput, match="holds no undamaged checkpoint"),
    ):
        checkpoints.find("best")
    assert not (run_dir / "damaged").exists()


def test_digests_are_written_before_a_checkpoint_gets_its_final_name(tmp_path, monkeypatch):
    write, is_final = checksums.write, []
    with Checkpoints(tmp_path) as checkpoints:

        def write_and_record(folder):
            write(folder)
            is_final.append(checkpoints.path(7).exists())

        monkeypatch.setattr(checksums, "write", write_and_record)
        checkpoints.save(state(7), 7, None)
        checkpoints.wait()
        assert is_final == [False]
        assert checksums.fault(checkpoints.path(7)) is None


def test_a_checkpoint_with_an_error_of_nan_is_never_the_best(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step, error in {1: 0.5, 2: float("nan"), 3: float("nan"), 4: 0.6}.items():
            checkpoints.save(state(step), step, {"top1_error": error})
        checkpoints.wait()
        assert checkpoints.best_step() == 1
        assert checkpoints.find("best") == 1


def test_a_checkpoint_of_another_net_is_refused_by_the_first_difference(two_steps):
    other = init_state(jax.random.key(0), TINY.with_classes(3), OPTIMIZER)
    halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state(0))
    adam_state = init_state(jax.random.key(0), TINY, adam())
    adam_shardings = state_shardings(TINY, adam(), alexnet_jax.make_mesh(1))
    for like, placement, words in [
        (other, shardings(1), r"2 has weights of \(32, 7\) in fc8, not \(32, 3\)"),
        (halved, shardings(1), "2 has weights of float32 in conv1, not bfloat16"),
        (adam_state, adam_shardings, "2 has no opt_state/count"),
    ]:
        with (
            Checkpoints(two_steps, read_only=True) as checkpoints,
            pytest.raises(BadInput, match=words),
        ):
            checkpoints.restore(2, like, placement)


def test_a_layer_that_only_one_state_has_is_described():
    def net(*names):
        return {"params": {name: {"weights": jnp.zeros((2, 3))} for name in names}}

    assert describe_difference(net("a", "b"), net("a", "b")) is None
    assert describe_difference(net("a"), net("a", "b")) == "has no weights in b"
    assert describe_difference(net("a", "b"), net("a")) == "has weights in b, which is not expected"


def test_a_kill_during_a_deletion_leaves_no_damage(two_steps, tmp_path, monkeypatch, capsys):
    """The process dies after the first file of the first deletion; here, deletions stop there."""
    run_dir, deletions = shutil.copytree(two_steps, tmp_path / "run"), []

    def remove_one_file(folder, **_):
        if files := sorted(path for path in folder.rglob("*") if path.is_file()):
            files[0].unlink()
            deletions.append(folder)

    with monkeypatch.context() as patch, Checkpoints(run_dir) as checkpoints:
        patch.setattr(shutil, "rmtree", remove_one_file)
        for step in (3, 4, 5):
            checkpoints.save(state(step), step, None)
            checkpoints.wait()
    assert deletions
    assert not (run_dir / "checkpoints" / "2").exists()

    with Checkpoints(run_dir) as checkpoints:  # as a resumed run opens it
        assert checkpoints.latest_step() == 5
        assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["1", "4", "5"]
    assert not (run_dir / "damaged").exists()
    assert capsys.readouterr().err == ""
