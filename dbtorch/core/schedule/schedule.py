"""When a pipeline runs, as ``dbtorch.yml`` says it."""

from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated

from dbtorch.core.keys import Between, Duration, Limit, key
from dbtorch.core.schedule.rules import Catchup, Overlap
from dbtorch.core.text import durations

if TYPE_CHECKING:  # imported by who has any
    from dbtorch.core.schedule.blackout import Blackout


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a pipeline runs. A run stands for the interval between two ticks."""

    crons: tuple[Annotated[str, "cron"], ...] = field(
        default=(),
        metadata=key(
            "Five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`; of several each"
            " ticks. It or `every` is required.",
            name="cron",
            example='"0 6 * * *"',
        ),
    )
    every: Limit | None = field(
        default=None,
        metadata=key(
            "Instead of `cron`: so much time after the last tick, counted from `start_date`, or"
            " from midnight of 1970-01-01 in the zone.",
            example="90m",
        ),
    )
    timezone: Annotated[str, "time zone"] = field(
        default="UTC",
        metadata=key(
            "Zone whose clock the fields speak of, summer time included.", example="Europe/Berlin"
        ),
    )
    except_: tuple[date | str, ...] = field(
        default=(),
        metadata=key(
            "Days in the zone on which it does not tick: dates, and files or URLs with dates, one a"
            " line, or a calendar (`.ics`). The next run covers what they leave out.",
            name="except",
            example='[2026-12-25, "https://example.org/holidays.ics"]',
        ),
    )
    blackouts: "tuple[Blackout, ...]" = field(
        default=(),
        metadata=key(
            "Windows in the zone in which no run starts: days, times, or both. A tick in one is"
            " skipped, and the next run covers it.",
            name="blackout",
            example='["22:00-06:00", "sat,sun"]',
        ),
    )
    start_date: datetime | None = field(
        default=None,
        metadata=key(
            "Where its first interval begins; in the zone where it names none. Ticks come after"
            " it.",
            example="2026-11-01",
        ),
    )
    end_date: datetime | None = field(
        default=None,
        metadata=key("Up to when it ticks, included.", example="2027-06-30T06:00"),
    )
    jitter: Duration = field(
        default=0.0,
        metadata=key(
            "A tick starts so much later at most; how much is the same each time for a pipeline and"
            " a tick.",
            default="none",
            example="5m",
        ),
    )
    catchup: Catchup = field(
        default=Catchup.LATEST,
        metadata=key("Which ticks run that were missed: none, the newest, or all.", example="all"),
    )
    catchup_window: Limit | None = field(
        default=None,
        metadata=key("Ticks that are older are not caught up with.", example="2d"),
    )
    max_catchup: Annotated[int, Between(1, 1000)] = field(
        default=100,
        metadata=key("How many of the newest missed ticks `catchup: all` runs.", example="30"),
    )
    overlap: Overlap = field(
        default=Overlap.QUEUE_ONE,
        metadata=key(
            "What becomes of a tick while the run before goes on: it is skipped, the newest waits,"
            " all wait, or the run is cancelled.",
            example="skip",
        ),
    )
    max_active_runs: Annotated[int, Between(1, 100)] = field(
        default=1,
        metadata=key(
            "How many runs of it go on at once on a target. More than 1 is refused: they would"
            " write the same tables at the same time.",
            example="1",
        ),
    )
    paused: bool = field(
        default=False, metadata=key("Nothing of it starts by the schedule.", example="true")
    )

    @property
    def checksum(self) -> str:
        """Another one where it ticks at other times; blackouts and rules do not count."""
        except_ = [
            str(one).rpartition("/")[2] if "://" not in str(one) else one for one in self.except_
        ]
        ticks = (self.crons, self.every, self.timezone, except_, self.start_date, self.end_date)
        return sha256(repr(ticks).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """As it was written."""
        return " and ".join(self.crons) or f"every {durations.text(self.every or 0.0)}"
