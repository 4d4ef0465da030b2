"""The states a node and a run can be in, in Airflow's and dbt's words."""

from enum import StrEnum


class State(StrEnum):
    """State of one node within one run."""

    PENDING = "pending"  # waits for its parents
    QUEUED = "queued"  # handed to the engine or to the step runner, not yet seen running
    RUNNING = "running"  # an attempt is under way
    UP_FOR_RETRY = "up_for_retry"  # an attempt failed; the next one has a time
    SUCCESS = "success"  # dbtorch saw it succeed
    WARN = "warn"  # succeeded, and a test or check of severity "warn" complains
    FAILED = "failed"  # the last allowed attempt failed
    UPSTREAM_FAILED = "upstream_failed"  # never started, because something before it failed
    SKIPPED = "skipped"  # left out on purpose; always with a reason
    REUSED = "reused"  # an earlier result still holds
    CANCELLED = "cancelled"  # stopped or not started: it, or what it depends on, was cancelled
    REMOVED = "removed"  # no longer part of the run: deleted, renamed or disabled before a retry

    @property
    def final(self) -> bool:
        """Whether a node stays in this state until the end of the run."""
        return self not in _OPEN

    @property
    def ok(self) -> bool:
        """Whether a child may start after a parent in this state."""
        return self in _OK

    @property
    def active(self) -> bool:
        """Whether an attempt is in somebody's hands."""
        return self in (State.QUEUED, State.RUNNING)


_OPEN = frozenset({State.PENDING, State.QUEUED, State.RUNNING, State.UP_FOR_RETRY})
_OK = frozenset({State.SUCCESS, State.WARN, State.REUSED})


class RunState(StrEnum):
    """State of a whole run."""

    RUNNING = "running"  # a supervisor drives it, or has died while driving it (see the lease)
    SUCCESS = "success"  # all of it was done
    GATED = "gated"  # nothing failed, and nodes were held back by sources that are not fresh
    FAILED = "failed"  # at least one node failed
    CANCELLED = "cancelled"  # stopped by a person, a signal or its deadline


class FailureClass(StrEnum):
    """Why an attempt failed, as far as retrying is concerned."""

    TRANSIENT = "transient"  # the same attempt may work a moment later: connection, lock, deadlock
    TIMEOUT = "timeout"  # the attempt took longer than it may
    DATA = "data"  # a test, contract or constraint found bad rows
    CODE = "code"  # SQL, Jinja, Python or configuration is wrong, or a permission is missing
    DEPENDENCY = "dependency"  # something upstream failed
    UNKNOWN = "unknown"  # no evidence for any of the above
