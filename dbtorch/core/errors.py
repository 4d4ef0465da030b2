"""What dbtorch refuses or cannot do: each error is one sentence that says what to do.

```
DbtorchError
├── UsageError         what was asked for cannot be done
│   ├── ProjectError   dbt_project.yml, profiles.yml or a folder of theirs is not as it must be
│   │   └── MissingDbt there is no dbt
│   ├── SelectionError a selection that means nothing, or matches nothing
│   ├── NotFound       a run, a node, a pipeline that is not there
│   └── RunInProgress  somebody else runs the pipeline, or the run
├── NothingToDo        what was asked for is done already
├── RunCancelled       somebody ended a run before it had begun
├── ConfigError        dbtorch.yml or meta.dbtorch is wrong
├── PlanError          what the project says makes no plan
├── EngineError        dbt cannot parse, select or connect
└── StoreError         the run history cannot be opened, read or written
    ├── NoHistory      there is none yet
    ├── LeaseLost      another supervisor has taken the run over
    └── TickLost       another scheduler has taken the scheduled time over
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from dbtorch.core.model.state import FailureClass

if TYPE_CHECKING:
    from dbtorch.core.history.records import Lease


class DbtorchError(Exception):
    """Everything that dbtorch refuses or cannot do; its text is what a person should read."""


class UsageError(DbtorchError):
    """What was asked for cannot be done; one sentence that says what to do."""


class ProjectError(UsageError):
    """The folder, dbt_project.yml or profiles.yml of a dbt project is not as it must be."""


class MissingDbt(ProjectError):
    """No dbt was found; ``looked`` says where it was looked for, ``install`` what to type."""

    def __init__(self, looked: str, install: str) -> None:
        super().__init__(f"{looked}; install it with {install}")
        self.looked = looked
        self.install = install


class SelectionError(UsageError):
    """A selection that means nothing, or that matches nothing."""


class NotFound(UsageError):
    """A run, a node or a pipeline that is not there, or that may be several."""


class RunInProgress(UsageError):
    """Somebody else runs the pipeline, or drives the run; ``run_id`` is theirs."""

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class NothingToDo(DbtorchError):
    """What was asked for is done already: one sentence, and no mistake of anybody's."""


class RunCancelled(DbtorchError):
    """Somebody ended a run before it had begun; the text says what has become of it."""


class Placed(str):
    """A sentence that begins with where it is about, which are values, too: ``file`` and ``line``.

    ``says`` is what it says without that; a ``line`` of 0 is the file as a whole.
    """

    __slots__ = ("file", "line", "says")

    file: str
    line: int
    says: str

    def __new__(cls, says: str, file: str, line: int = 0) -> Self:
        """``file:line: says``."""
        place = f"{file}:{line}: " if line else f"{file}: " if file else ""
        made = super().__new__(cls, f"{place}{says}")
        made.file, made.line, made.says = file, line, says
        return made


class ConfigError(DbtorchError):
    """The configuration is wrong; one sentence for each of its ``problems``."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Each of ``problems`` says file, line, what is wrong and what to do."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PlanError(DbtorchError):
    """What the user wrote does not make a plan; one sentence for each of its ``problems``."""

    def __init__(self, problems: Iterable[str]) -> None:
        """Each of ``problems`` says file, line, names and what to do."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class EngineError(DbtorchError):
    """dbt could not parse, select or connect; the text is one clear sentence (or dbt's own)."""

    def __init__(self, message: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """One that is transient may work a moment later: somebody has killed dbt, say."""
        super().__init__(message)
        self.failure_class = failure_class


class StoreError(DbtorchError):
    """The store cannot be opened, read or written; the text says which, why and what to do."""


class StoreUnreachable(StoreError):
    """The database does not answer, and may do so in a while."""


class QueueError(DbtorchError):
    """Workers cannot be told of work, or hear of it; the text says why and what to do."""


class NoHistory(StoreError):
    """There is no run history yet."""


class Refused(ValueError):
    """A value is not accepted. The text says what is, or with ``complete`` what is wrong."""

    def __init__(self, text: str, *, complete: bool = False) -> None:
        self.complete = complete
        super().__init__(text)


class LeaseHeld(Exception):
    """Another run holds the lease."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        super().__init__(lease.name)


class LeaseLost(StoreError):
    """What was to be written is another supervisor's to write by now."""

    def __init__(self, lease: Lease, holder: Lease | None) -> None:
        by = "another process"
        if holder is not None and holder.run_id == lease.run_id:
            by = f"pid {holder.pid} on {holder.host}"
        super().__init__(
            f"run {lease.run_id} was taken over by {by} while this process stood still; "
            f"nothing more is written from here, `dbtorch show {lease.run_id}` says how it goes on"
        )


class TickLost(StoreError):
    """A run was to begin for a tick that is another scheduler's by now, or over."""

    def __init__(self) -> None:
        super().__init__(
            "the scheduled run is another scheduler's to start by now, or was started already;"
            " nothing was run"
        )
