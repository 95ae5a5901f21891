"""What the commands set in their process before JAX starts."""

import os
import subprocess
import sys

import pytest

from train.config.errors import BadInput
from train.runtime import backend


def printed(code, **environment):
    """What a new process prints, with these environment variables and none of their kind."""
    ours = ("GLIBC_TUNABLES", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    run = subprocess.run(
        [sys.executable, "-c", f"import os\nfrom train.runtime import backend\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env=inherited | environment,
    )
    return run.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is the GNU C library's")
def test_a_command_begins_anew_with_huge_pages_unless_the_user_has_set_something():
    code = "backend.restart_with_huge_pages()\nprint(os.environ['GLIBC_TUNABLES'])"
    assert printed(code) == "glibc.malloc.hugetlb=1"
    assert printed(code, GLIBC_TUNABLES="glibc.malloc.arena_max=3") == "glibc.malloc.arena_max=3"


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is the GNU C library's")
def test_a_session_at_a_prompt_is_not_begun_anew():
    """As `%run -m train.main` in a notebook would: its variables would be gone."""
    session = "import sys\nsys.ps1 = '> '\nbackend.restart_with_huge_pages()\n"
    assert printed(session + "print(os.environ.get('GLIBC_TUNABLES'))") == "None"


def test_where_jax_has_begun_with_fewer_devices_it_is_said():
    """As in a notebook, for whose second run it is too late to have more."""
    with pytest.raises(BadInput, match="`devices` 64: JAX finds 8 CPU only; JAX_NUM_CPU_DEVICES"):
        backend.set_up_devices(64)


def test_compiled_programs_are_kept_in_the_users_cache_unless_told_elsewhere(tmp_path):
    code = "backend.enable_compile_cache()\nimport jax\nprint(jax.config.jax_compilation_cache_dir)"
    kept = printed(code, XDG_CACHE_HOME=str(tmp_path))
    assert kept.startswith(str(tmp_path / "alexnet_jax" / "xla"))
    told = str(tmp_path / "elsewhere")
    assert printed(code, JAX_COMPILATION_CACHE_DIR=told) == told
