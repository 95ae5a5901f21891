"""A batch that is too large for a device is refused before the first step."""

import re
from types import SimpleNamespace

import jax
import pytest

from benchmarks.tiny_net import TINY
from train.config.config import Config
from train.config.errors import BadInput, Ended
from train.runtime import device_memory
from train.trainer.train import train


def check_memory(needs, batch_size, limit, parts=1, **more):
    """Run the check on fake programs that take `needs(size)` bytes; returns the sizes compiled."""
    compiled = []

    def program(size):
        compiled.append(size)
        temporary = needs(size)
        sizes = {f"{name}_size_in_bytes": 0 for name in ("argument", "output", "temp", "alias")}
        sizes["temp_size_in_bytes"] = temporary
        return SimpleNamespace(memory_analysis=lambda: SimpleNamespace(**sizes))

    device_memory.compile_within_memory(program, batch_size, limit, parts, **more)
    return compiled


@pytest.mark.parametrize("batch_size", [2, 100, 1000, 4096])
def test_the_suggested_batch_size_fits_and_is_nearly_the_largest(batch_size):
    def needs(size):  # memory does not grow evenly
        return 10_000 + 1000 * size + 300 * (size % 7)

    limit = needs(batch_size) // 2 + 6000
    with pytest.raises(BadInput) as refused:
        check_memory(needs, batch_size, limit)
    fits = int(re.search(r"`batch_size` (\d+) would fit", str(refused.value)).group(1))
    largest = max(size for size in range(batch_size) if needs(size) <= limit)
    assert 0.98 * largest - 2 <= fits <= largest
    assert needs(fits) <= limit


def test_a_batch_that_fits_or_has_no_known_limit_is_compiled_once():
    assert check_memory(lambda size: size, 64, 64) == [64]
    assert check_memory(lambda size: size, 64, None) == [64]


def test_a_network_that_does_not_fit_at_batch_size_1_is_refused():
    with pytest.raises(BadInput, match="not even a batch of 1 fits"):
        check_memory(lambda size: 1000 + size, 64, 500)


def test_a_batch_whose_images_alone_do_not_fit_is_refused_without_being_compiled():
    compiled = []

    def needs(size):
        compiled.append(size)
        return 9 * size

    words = "needs more memory than a device has; a new run with `batch_size` 111 would fit"
    with pytest.raises(BadInput, match=words):
        check_memory(needs, 10**20, 1000, image_bytes=3)
    assert max(compiled) <= 333


@pytest.mark.parametrize("limit", range(8, 96, 7))
def test_the_suggested_batch_size_can_be_divided_among_the_devices(limit):
    compiled = []

    def needs(size):
        compiled.append(size)
        return size

    with pytest.raises(BadInput) as refused:
        check_memory(needs, 96, limit, parts=8)
    fits = int(re.search(r"`batch_size` (\d+) would fit", str(refused.value)).group(1))
    assert fits == limit // 8 * 8
    assert not [size for size in compiled if size % 8]


def test_a_program_that_runs_out_of_memory_in_the_compiler_is_too_large():
    def needs(size):
        if size > 50:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in hbm")
        return size

    for limit in (100, None):
        words = "needs more memory than a device has; a new run with `batch_size` 32 would fit"
        with pytest.raises(BadInput, match=words):
            check_memory(needs, 64, limit)


def test_a_refused_run_is_told_a_batch_size_that_the_same_device_accepts(tmp_path, monkeypatch):
    # A batch of 64 needs 1.1 MB.
    monkeypatch.setattr(device_memory, "memory_limit", lambda mesh: 850_000)
    config = Config().replace(net=TINY, steps=1)
    with pytest.raises(BadInput) as refused:
        train(config.replace(run_dir=tmp_path / "run", batch_size=64))
    fits = int(re.search(r"`batch_size` (\d+) would fit", str(refused.value)).group(1))
    assert 16 <= fits < 64
    train(config.replace(run_dir=tmp_path / "other", batch_size=fits))
    assert not (tmp_path / "run" / "checkpoints" / "1").exists()
    # The refused run has not taken its folder.
    train(config.replace(run_dir=tmp_path / "run", batch_size=fits))
    assert (tmp_path / "run" / "checkpoints" / "1").is_dir()


def test_running_out_of_device_memory_later_ends_the_run_in_one_sentence(tmp_path, monkeypatch):
    def step(state, batch):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    monkeypatch.setattr(device_memory, "compile_within_memory", lambda *_, **__: step)
    words = "no memory left at `batch_size` 16; .*`batch_size` 8 would help; no checkpoint was kept"
    with pytest.raises(Ended, match=words) as stopped:
        train(Config().replace(run_dir=tmp_path / "run", net=TINY, batch_size=16, steps=2))
    assert stopped.value.status == 1


def test_virtual_devices_share_the_memory_of_the_machine_or_its_container(tmp_path, monkeypatch):
    with open("/proc/meminfo") as file:
        machine = 1024 * int(file.readline().split()[1])
    monkeypatch.setattr(device_memory, "_CGROUP_LIMITS", ())
    mesh = jax.make_mesh((2,), ("tower",))
    assert device_memory.memory_limit(mesh) == pytest.approx(machine / 2, rel=1e-3)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(device_memory, "_CGROUP_LIMITS", (tmp_path / "none", limit))
    limit.write_text("max\n")
    assert device_memory.memory_limit(mesh) == pytest.approx(machine / 2, rel=1e-3)
    limit.write_text("1000000\n")
    assert device_memory.memory_limit(mesh) == 500_000


def test_a_run_compiles_its_step_once(tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level("WARNING"):
        train(Config().replace(run_dir=tmp_path / "run", net=TINY, batch_size=16, steps=2))
    compiled = [
        message for message in caplog.messages if "XLA compilation of jit(train_step)" in message
    ]
    assert len(compiled) == 1
