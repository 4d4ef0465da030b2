"""How a command ends, and what that is to whoever starts runs: one table for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Exit(IntEnum):
    """Exit codes, dbt's where dbt has one."""

    OK = 0  # all good, warnings included
    NODE_FAILED = 1  # at least one node failed, or the run was cancelled
    USAGE = 2  # usage, configuration, or something outside that has to be mended first
    GATED = 3  # nothing failed, but a gate kept nodes from running
    INTERNAL = 4  # a mistake of dbtorch's own, told with a traceback
    UNREACHABLE = 75  # the history does not answer; sysexits.h calls it EX_TEMPFAIL


class Again(Enum):
    """Whether a run that has ended so is to be started, or gone on with, by itself."""

    DONE = "nothing is left"
    NO = "a person has to act first"
    LATER = "when data has come"
    ONCE = "it may help"
    YES = "it was ended from outside, or what it needs may be back"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRow:
    """A row of the table."""

    codes: str  # as people read it
    meaning: str
    advice: str
    again: Again


#: By the code; what a signal has ended is `KILLED`, and what nobody knows as one of our own faults.
TABLE = {
    Exit.OK: ExitRow(
        codes="0",
        meaning="everything is done, warnings included; or there was nothing to do",
        advice="nothing",
        again=Again.DONE,
    ),
    Exit.NODE_FAILED: ExitRow(
        codes="1",
        meaning="a node failed, or the run was cancelled",
        advice=(
            "do not start it again: dbtorch has retried what may pass. Call the owner;"
            " `dbtorch retry` continues"
        ),
        again=Again.NO,
    ),
    Exit.USAGE: ExitRow(
        codes="2",
        meaning=(
            "usage or configuration: an unknown option, a mistake in `dbtorch.yml` or the project,"
            " another run of the pipeline under way, a history or disk that cannot be written"
        ),
        advice=(
            "do not start it again before a person has acted; a message on standard error says what"
            " to do"
        ),
        again=Again.NO,
    ),
    Exit.GATED: ExitRow(
        codes="3",
        meaning=(
            "the run is `gated`: nothing failed, but nodes wait for sources that are not fresh"
        ),
        advice="this is no failure; start `dbtorch retry` later, by a timer",
        again=Again.LATER,
    ),
    Exit.INTERNAL: ExitRow(
        codes="4",
        meaning="a bug in dbtorch, with a traceback",
        advice="start `dbtorch retry` once at most, and report it",
        again=Again.ONCE,
    ),
    Exit.UNREACHABLE: ExitRow(
        codes="75",
        meaning="the database of the history does not answer: it restarts, or the network is down",
        advice="start `dbtorch retry` in a minute, or the same run if it had not begun",
        again=Again.YES,
    ),
}

STOPPED = ExitRow(
    codes="130, 143",
    meaning="SIGINT, SIGTERM: dbtorch cancelled what was under way and recorded it",
    advice="start `dbtorch retry`, as after a node that was drained",
    again=Again.YES,
)

KILLED = ExitRow(
    codes="137 and other 128 + n",
    meaning="killed by signal n (out of memory, eviction)",
    advice="start `dbtorch retry`",
    again=Again.YES,
)


def again(code: int) -> Again:
    """Whether what has ended with this code is to be started again; a negative one is a signal."""
    if code < 0 or code > 128:
        return KILLED.again
    return TABLE[Exit(code)].again if code in [*Exit] else Again.ONCE
