"""The thread that keeps writing out of the run's way."""

import threading

from dbtorch.cli.live.background import Background
from dbtorch.testing import FixedClock
from tests.waiting import PATIENCE, wait_for


class Slow:
    """A renderer that hangs, as a paused terminal does, until it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.seen = []

    def changed(self, changes):
        assert self.go.wait(PATIENCE)
        self.seen.append(changes)

    def tick(self, now):
        self.seen.append("tick")

    def close(self):
        self.seen.append("closed")


def test_a_run_never_waits_for_its_view():
    slow = Slow()
    view = Background(slow, FixedClock(), every=None)
    for number in range(1000):
        view.changed([number])
    assert slow.seen == []  # it was told of nothing until now
    slow.go.set()
    view.close()
    assert slow.seen == [*([n] for n in range(1000)), "closed"]


def test_a_view_ticks_while_nothing_happens():
    slow = Slow()
    view = Background(slow, FixedClock(), every=0.01)
    wait_for(lambda: slow.seen.count("tick") >= 3)
    view.close()


def test_a_view_that_fails_is_silent_from_then_on(caplog):
    class Broken(Slow):
        def changed(self, changes):
            raise RuntimeError("no such colour")

    broken = Broken()
    view = Background(broken, FixedClock(), every=None)
    view.changed([1])
    view.changed([2])
    view.close()
    assert broken.seen == ["closed"]
    assert caplog.text.count("the run goes on without it") == 1
