"""A batch that is too large for a device is refused before the first step."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from train import memory
from train.config import BadInput, Config
from train.training import train


def refuse(needs, batch_size, limit):
    """Refuse with programs of which only the bytes are known."""
    compiled = []

    def program(size):
        compiled.append(size)
        sizes = {f"{name}_size_in_bytes": 0 for name in ("argument", "output", "temp", "alias")}
        sizes["temp_size_in_bytes"] = needs(size)
        return SimpleNamespace(memory_analysis=lambda: SimpleNamespace(**sizes))

    memory.refuse_too_large(program, batch_size, limit)
    return compiled


@pytest.mark.parametrize("batch_size", [2, 100, 1000, 4096])
def test_the_batch_size_that_is_named_fits_and_is_nearly_the_largest(batch_size):
    def needs(size):  # some memory is taken in pieces
        return 10_000 + 1000 * size + 300 * (size % 7)

    limit = needs(batch_size) // 2 + 6000
    with pytest.raises(BadInput) as refused:
        refuse(needs, batch_size, limit)
    fits = int(re.search(r"--batch-size (\d+) would fit", str(refused.value)).group(1))
    largest = max(size for size in range(batch_size) if needs(size) <= limit)
    assert 0.98 * largest - 2 <= fits <= largest
    assert needs(fits) <= limit


def test_a_batch_that_fits_is_compiled_once_and_one_of_an_unknown_device_not_at_all():
    assert refuse(lambda size: size, 64, 64) == [64]
    assert refuse(lambda size: size, 64, None) == []


def test_if_the_net_alone_is_too_large_that_is_said():
    with pytest.raises(BadInput, match="not even one image fits"):
        refuse(lambda size: 1000 + size, 64, 500)


def test_a_program_that_the_compiler_gives_up_is_too_large():
    def needs(size):
        if size > 50:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in hbm")
        return size

    with pytest.raises(BadInput, match="needs more memory than a device has; a new run with"):
        refuse(needs, 64, 100)


def test_a_run_is_refused_with_a_batch_size_that_the_same_device_accepts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "limit_of", lambda mesh: 40 * 2**20)
    with pytest.raises(BadInput) as refused:
        train(Config(run_dir=tmp_path / "run", batch_size=2000, steps=1))
    fits = int(re.search(r"--batch-size (\d+) would fit", str(refused.value)).group(1))
    assert 50 < fits < 2000
    train(Config(run_dir=tmp_path / "other", batch_size=fits, steps=1))
    assert not (tmp_path / "run" / "checkpoints" / "1").exists()


def test_virtual_devices_share_what_the_machine_or_its_container_has(tmp_path, monkeypatch):
    with open("/proc/meminfo") as file:
        machine = 1024 * int(file.readline().split()[1])
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", ())
    mesh = jax.make_mesh((2,), ("tower",))
    assert memory.limit_of(mesh) == pytest.approx(machine / 2, rel=1e-3)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "none", limit))
    limit.write_text("max\n")
    assert memory.limit_of(mesh) == pytest.approx(machine / 2, rel=1e-3)
    limit.write_text("1000000\n")
    assert memory.limit_of(mesh) == 500_000


def test_the_step_is_not_compiled_again_for_its_first_run():
    events = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: events.append(name)
    )
    step = jax.jit(lambda x: jnp.sin(x) * 3, donate_argnums=0)
    step.lower(jax.ShapeDtypeStruct((8,), jnp.float32)).compile()
    x = jax.block_until_ready(jnp.ones(8, jnp.float32))
    before = sum("backend_compile" in name for name in events)
    step(x)
    assert before
    assert sum("backend_compile" in name for name in events) == before
