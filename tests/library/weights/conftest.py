"""A guard for tests of files that could be read for ever."""

import signal

import pytest


class HangError(BaseException):
    """Not an Exception, which the readers turn into sentences."""


@pytest.fixture
def _awake():
    """End a test that would go on for ever, after a minute of processor time."""

    def stop(*_):
        raise HangError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 60)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)
