"""Failures that last: told at once, then quietly, until the node works again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from dbtorch.core.model.state import FailureClass

#: Seconds, three days: after this a failure that goes on is told as loudly as at first. Longer
#: than the time between two runs of a daily pipeline, which must not page every morning.
REMIND_AFTER = 259_200.0


class Verdict(StrEnum):
    """What a failure is, given what was told before."""

    FIRST = "first"  # news: somebody is to look
    AGAIN = "again"  # told already: goes to the thread of the first time
    REMINDER = "reminder"  # told long ago: somebody is to look again


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A node of a pipeline that keeps failing in the same class, from first failure to recovery."""

    project: str
    target: str
    pipeline: str
    node_id: str
    failure_class: FailureClass | None
    opened_run: str  # the run that failed first; its message has the thread
    opened_at: datetime
    last_run: str
    in_a_row: int = 1  # runs that failed like this, one after the other
    told_at: datetime  # when somebody was asked to look for the last time
    closed_at: datetime | None = None  # when the node worked again
    worked_since: bool = False  # it succeeded in a run that told nobody; not kept

    def again(
        self,
        *,
        run_id: str,
        failure_class: FailureClass | None,
        now: datetime,
        remind_after: float = REMIND_AFTER,
    ) -> tuple[Incident, Verdict]:
        """What a further failure of the node makes of it.

        Another class is another failure, and so is one after a success. A run counts once, however
        often it fails.
        """
        if failure_class is not self.failure_class or self.worked_since:
            opened = replace(
                self,
                failure_class=failure_class,
                opened_run=run_id,
                opened_at=now,
                last_run=run_id,
                in_a_row=1,
                told_at=now,
                worked_since=False,
            )
            return opened, Verdict.FIRST
        counted = self.in_a_row + (run_id != self.last_run)
        gone_on = replace(self, last_run=run_id, in_a_row=counted)
        if (now - self.told_at).total_seconds() < remind_after:
            return gone_on, Verdict.AGAIN
        return replace(gone_on, told_at=now), Verdict.REMINDER

    def over(self, now: datetime) -> Incident:
        """The node works again."""
        return replace(self, closed_at=now)
