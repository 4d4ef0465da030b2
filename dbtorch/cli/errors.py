"""Exit codes, and what is said of an error."""

from __future__ import annotations

import errno

from dbtorch.core.exit_codes import Exit

OK, NODE_FAILED, USAGE, GATED, INTERNAL, UNREACHABLE = map(int, Exit)

#: What to do about a disk, by what the system says of it.
_DISK = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room, the quota is used up",
    errno.EROFS: "the file system may only be read",
    errno.EIO: "check the disk",
    errno.EACCES: "give this user the right to",
    errno.EPERM: "give this user the right to",
    errno.ENAMETOOLONG: "name something shorter",
    errno.ELOOP: "see where its links lead",
}


class Stopped(BaseException):
    """A signal came before the run had begun."""

    def __init__(self, signum: int, so: str = "") -> None:
        """``so`` says what has become of what was asked for."""
        self.signum = signum
        self.so = so
        super().__init__(signum)


def disk_trouble(error: BaseException) -> str | None:
    """A sentence for what a disk does not do; None for everything else."""
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    what = str(error.filename or "a file")
    what = what if len(what) < 300 else f"{what[:300]}..."
    return f"{what} cannot be read or written ({error.strerror}): {_DISK[error.errno]}"


def exit_code(error: BaseException) -> int:
    """Exit code of an expected error: what may pass by itself is a failure, nobody's mistake."""
    from dbtorch.core.errors import StoreUnreachable
    from dbtorch.core.model.state import FailureClass

    if isinstance(error, StoreUnreachable):
        return UNREACHABLE
    found = getattr(error, "failure_class", FailureClass.CODE)
    return NODE_FAILED if found is FailureClass.TRANSIENT else USAGE
