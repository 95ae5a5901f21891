"""Decoding threads by cores."""

import os

import numpy as np
import pytest

from train.runtime import cores
from train.runtime.cores import decoding_threads


@pytest.fixture
def has_cores(monkeypatch):
    cores._processes_on_these_cores.cache_clear()
    yield lambda count: monkeypatch.setattr(
        os, "sched_getaffinity", lambda _: {*range(count)}, raising=False
    )
    cores._processes_on_these_cores.cache_clear()


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (2, 2), (16, 16), (96, 16)])
def test_there_is_a_thread_for_each_core_and_sixteen_at_most(has_cores, count, threads):
    has_cores(count)
    assert decoding_threads(None) == threads
    assert decoding_threads(5) == 5


@pytest.mark.parametrize(("others", "threads"), [(0, 12), (1, 6), (3, 3), (23, 1)])
def test_processes_on_the_same_cores_share_them(has_cores, monkeypatch, others, threads):
    """Three more processes are on other machines, or were given other cores."""
    has_cores(12)
    monkeypatch.setattr("jax.process_count", lambda: 4 + others)
    monkeypatch.setattr(
        "jax.experimental.multihost_utils.process_allgather",
        lambda own: np.array([own] * (1 + others) + [own + 1, own + 2, own + 3]),
    )
    assert decoding_threads(None) == threads
    assert decoding_threads(7) == 7
