"""The errors a user is meant to read, and the exit codes."""

from __future__ import annotations

import errno
import re
import textwrap

#: Exit codes, dbt's where dbt has one.
OK = 0  # all good, warnings included
NODE_FAILED = 1  # at least one node failed
USAGE = 2  # usage, configuration or internal error; nothing was started
GATED = 3  # nothing failed, but a gate kept nodes from running


#: dbt's heading of a message that is about no node, on a line of its own.
_HEADING = re.compile(r"\A\w+ Error\n")


#: What to do about a disk, by what the system says of it.
_DISK = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room, the quota is used up",
    errno.EROFS: "the file system may only be read",
    errno.EIO: "check the disk",
    errno.EACCES: "give this user the right to",
    errno.EPERM: "give this user the right to",
}


class UsageError(Exception):
    """What was asked for cannot be done; one sentence that says what to do."""


class Stopped(BaseException):
    """A signal came before the run had begun."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signum)


def told(error: BaseException) -> str:
    """What an expected error says; without dbt's heading, where that says nothing."""
    text = str(error).strip()
    rest = _HEADING.sub("", text)
    return text if rest == text else textwrap.dedent(rest).strip()


def disk_trouble(error: BaseException) -> str | None:
    """A sentence for what a disk does not do; None for everything else."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    what = error.filename or "a file"
    return f"{what} cannot be read or written ({error.strerror}): {_DISK[error.errno]}"


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that print one sentence and exit with 2; everything else is a bug."""
    from dbtorch.adapters.config import ConfigError
    from dbtorch.app.planning import PlanError
    from dbtorch.ports import EngineError, StoreError

    return (UsageError, ConfigError, PlanError, EngineError, StoreError)
