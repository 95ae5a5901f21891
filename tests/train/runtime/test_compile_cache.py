"""JAX's cache of compiled programs: where it is, and what happens to entries that end early."""

import os
import subprocess
import sys
import zlib

import pytest

from train.runtime import compile_cache

COMPILE = """
import sys
from train.runtime import compile_cache
compile_cache.enable()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.config.jax_compilation_cache_dir)
print(jax.jit(lambda x: x * 3 + 1)(2.0))
"""


def compile_once(**environment):
    """The folder of the cache and what was warned of, by a new process that compiles a program."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        capture_output=True,
        text=True,
        check=True,
        env=inherited | environment,
    )
    folder, result = done.stdout.split()
    assert result == "7.0"
    return folder, done.stderr


@pytest.mark.parametrize("folder_set", [False, True])
def test_an_entry_cut_in_half_is_written_again_without_a_word(tmp_path, folder_set):
    set_here = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "elsewhere")}
    environment = set_here if folder_set else {"XDG_CACHE_HOME": str(tmp_path)}
    expected = tmp_path / ("elsewhere" if folder_set else "alexnet_jax/xla")
    folder, _ = compile_once(**environment)
    assert folder.startswith(str(expected))
    entries = sorted(expected.rglob("*-cache"))
    assert entries
    whole = [entry.read_bytes() for entry in entries]
    for entry, content in zip(entries, whole, strict=True):
        entry.write_bytes(content[: len(content) // 2])
    assert compile_once(**environment) == (folder, "")
    assert [len(e.read_bytes()) for e in entries] == pytest.approx([len(w) for w in whole], rel=0.1)


def test_a_cache_that_cannot_be_used_is_not_spoken_of(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert compile_once(XDG_CACHE_HOME=str(tmp_path / "file"))[1] == ""


def test_an_entry_is_checked_once(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_decompressor", lambda: zlib.decompress)
    whole, half, empty = (tmp_path / f"{name}-cache" for name in ("whole", "half", "empty"))
    content = zlib.compress(bytes(range(256)) * 100)
    whole.write_bytes(content)
    half.write_bytes(content[: len(content) // 2])
    empty.write_bytes(b"")
    (tmp_path / "whole-atime").write_bytes(b"\0")
    (tmp_path / "folder-cache").mkdir()
    (tmp_path / "dangling-cache").symlink_to(tmp_path / "nowhere")
    compile_cache._delete_damaged_entries(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"whole-cache", "whole-atime", "folder-cache", "dangling-cache"}
    monkeypatch.setattr(compile_cache, "_decompressor", lambda: pytest.fail("read again"))
    compile_cache._delete_damaged_entries(tmp_path)
    compile_cache._delete_damaged_entries(tmp_path / "nowhere")
    monkeypatch.setattr(compile_cache, "_decompressor", lambda: zlib.decompress)
    whole.chmod(0o644)
    whole.write_bytes(content[:100])
    whole.chmod(0o444)
    os.utime(whole)  # later than the change of the mode, as a write by root would be
    compile_cache._delete_damaged_entries(tmp_path)
    assert not whole.exists()
