"""The rate of a run, whose steps are read late and in bursts."""

import pytest

from train.runtime.progress import RunProgress


@pytest.mark.parametrize("burst", [1, 3])
def test_the_rate_is_that_of_the_steps_also_if_several_are_read_at_once(monkeypatch, burst):
    """A step takes a second; the steps of a burst are read when the last of them has ended."""
    clock = [0]
    monkeypatch.setattr("train.runtime.progress.time.monotonic", lambda: clock[0])
    with RunProgress(0, 91, 16, shown=False) as progress:
        assert progress.step(1, 0.5) is None
        for step in range(2, 92):
            if (step - 2) % burst == 0:
                clock[0] += burst
            rate = progress.step(step, 0.5)
    assert rate == pytest.approx(16, rel=0.15)
