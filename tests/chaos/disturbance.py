"""What may happen to a run, and when."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.acceptance.workspace import Running
from tests.chaos.lane import Lane
from tests.chaos.server import Server

#: Seconds a moment may be away, at most.
_PATIENCE = 120


class Kind(StrEnum):
    """What is disturbed."""

    SUPERVISOR = "supervisor killed"
    WORKER = "dbt killed"
    STEP = "step killed"
    POSTGRES = "postgres restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When: after so many changes, or when a step runs, and a little later."""

    changes: int
    step: bool
    delay: float

    def come(self, run: Running) -> bool:
        """Wait for it; whether it came before the run had ended."""
        until = time.monotonic() + _PATIENCE
        while not self._is_now(run.out):
            if run.process.poll() is not None or time.monotonic() > until:
                return False
            time.sleep(0.005)
        time.sleep(self.delay)
        return run.process.poll() is None

    def _is_now(self, out: str) -> bool:
        if out.count("\n") < self.changes:
            return False
        return not self.step or "running" in steps_of(out).values()


def steps_of(out: str) -> dict[str, str]:
    """The state that each step has reached, by what a run has said so far."""
    said = [line for line in out.splitlines() if line.endswith("}")]  # the last may be half a line
    events = [json.loads(line) for line in said if '"kind": "step"' in line]
    return {event["node_id"]: event["state"] for event in events if "state" in event}


def moment(
    kind: Kind, chance: random.Random, *, changes: int, seconds: float, at_events: bool = False
) -> Moment:
    """A random one in a run that has so many changes and takes so many seconds undisturbed.

    One that is to be ``at_events`` comes with a change, whatever the machine's pace.
    """
    if at_events:
        most, step = (20, True) if kind is Kind.STEP else (changes, False)
        return Moment(changes=chance.randrange(most), step=step, delay=0.0)
    if kind is Kind.STEP:
        return Moment(changes=chance.randrange(20), step=True, delay=chance.uniform(0, 0.2))
    if chance.random() < 0.25:  # any time, also before anything has begun
        return Moment(changes=0, step=False, delay=chance.uniform(0, seconds))
    return Moment(changes=chance.randrange(changes), step=False, delay=chance.uniform(0, 0.1))


def disturb(kind: Kind, lane: Lane, run: Running, chance: random.Random) -> bool:
    """Do it; whether there was anything to disturb."""
    if kind is Kind.SUPERVISOR:
        run.process.kill()
        return True
    if kind is Kind.POSTGRES:
        assert lane.server is not None
        restart(lane.server, down=chance.uniform(0, 3))
        return True
    found = lane.workspace.dbts() if kind is Kind.WORKER else _steps(lane)
    if not found:
        return False
    return _kill(chance.choice(found))


def restart(server: Server, *, down: float) -> None:
    """Let a server crash, be away for some seconds, and come back."""
    server.crash()
    time.sleep(down)
    server.start()


def kinds(lane: Lane) -> list[Kind]:
    """What can happen to a lane."""
    return [kind for kind in Kind if lane.server is not None or kind is not Kind.POSTGRES]


def _steps(lane: Lane) -> list[int]:
    return sorted(pid for pid in lane.workspace.processes() if _is_step(pid))


def _is_step(pid: int) -> bool:
    try:
        return b"\0DBTORCH_STEP=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has just ended
        return False


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
