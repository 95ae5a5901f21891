"""The settings that commands make in their process before JAX starts."""

import os
import subprocess
import sys
import types

import jax
import pytest

from train.config.errors import BadInput
from train.runtime import backend


def run_python(code, **environment):
    """The output of `code` in a new process; GLIBC_TUNABLES is as `environment` has it."""
    inherited = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    run = subprocess.run(
        [sys.executable, "-c", f"import os\nfrom train.runtime import backend\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env=inherited | environment,
    )
    return run.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is the GNU C library's")
def test_a_command_restarts_with_huge_pages_unless_the_user_has_set_tunables():
    code = "backend.restart_with_huge_pages()\nprint(os.environ['GLIBC_TUNABLES'])"
    assert run_python(code) == "glibc.malloc.hugetlb=1"
    assert run_python(code, GLIBC_TUNABLES="glibc.malloc.arena_max=3") == "glibc.malloc.arena_max=3"


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is the GNU C library's")
def test_an_interactive_session_is_not_restarted():
    """As by `%run -m train.main` in a notebook, which would lose its variables."""
    session = "import sys\nsys.ps1 = '> '\nbackend.restart_with_huge_pages()\n"
    assert run_python(session + "print(os.environ.get('GLIBC_TUNABLES'))") == "None"


@pytest.mark.skipif(jax.__version_info__ < (0, 12), reason="older versions are given none")
@pytest.mark.parametrize(
    ("batch_norm", "taken"), [(None, ["dot"]), (True, ["reduce"]), (False, [])]
)
def test_a_command_lets_ynnpack_have_what_it_is_faster_at(batch_norm, taken):
    """Products where a network predicts, and sums where one with batch normalization is trained."""
    code = f"""
import jax, jax.numpy as jnp
backend.set_up_devices(1, batch_norm={batch_norm})
maps = jax.ShapeDtypeStruct((64, 32, 32, 64), jnp.float32)
programs = {{
    "dot": (jnp.matmul, jnp.ones((16, 512)), jnp.ones((512, 256))),
    "reduce": (lambda x: x.sum((0, 1, 2)), maps),
}}
texts = {{n: jax.jit(f).lower(*x).compile().as_text() for n, (f, *x) in programs.items()}}
print([name for name, text in texts.items() if "ynn_fusion" in text])
"""
    assert run_python(code, XLA_FLAGS="", JAX_PLATFORMS="cpu") == str(taken)


def test_too_few_devices_after_jax_has_started_are_an_error():
    """As in a notebook, where a second run can no longer add devices."""
    with pytest.raises(BadInput, match="`devices` 64: JAX finds 8 CPU only; JAX_NUM_CPU_DEVICES"):
        backend.set_up_devices(64)


@pytest.mark.parametrize(
    ("found", "asked", "fewer"), [(1, 2, 1), (1, 8, 1), (2, 4, 2), (3, 4, 2), (8, 16, 8)]
)
def test_too_few_gpus_are_told_what_computes_the_same_on_those_that_there_are(
    found, asked, fewer, monkeypatch
):
    gpu = types.SimpleNamespace(platform="gpu", process_index=0)
    monkeypatch.setattr("jax.devices", lambda: [gpu] * found)
    with pytest.raises(BadInput) as caught:
        backend.set_up_devices(asked)
    assert caught.value.with_flags() == (
        f"--devices {asked}: JAX finds {found} GPU only; --devices {fewer} computes the same "
        f"numbers, and JAX_PLATFORMS=cpu makes {asked} virtual devices of the CPU"
    )
