"""The keys of a schedule that have a form of their own: moments, days that are left out, windows.

Nothing is fetched or read here: whoever asks for ticks reads files and calendars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dbtorch.adapters.config.field_types import Several, section
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.scalars import TEXT, Scalar, Shape
from dbtorch.core.errors import Refused
from dbtorch.core.schedule.blackout import Blackout, blackout
from dbtorch.core.schedule.partition import LONGEST_OFFSET, PartitionSpec
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.text.limits import EARLIEST, LATEST


def _moment(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise Refused('expected a date or time such as "2026-11-21T06:00"') from None
    if not EARLIEST.year <= found.year <= LATEST.year:
        raise Refused(f"expected a date between the years {EARLIEST.year} and {LATEST.year}")
    return found


def _blackout(value: Any) -> Blackout:
    return blackout(str(value))


@dataclass(frozen=True, slots=True)
class _Except:
    """A date, or where dates are: a URL, or a file of the project by its full path."""

    name: str = "date, file or URL"
    shape: Shape = field(default_factory=lambda: TEXT.shape)

    def read(self, value: Any, at: Path, report: Report) -> date | str | None:
        """The date, or where they are."""
        text = TEXT.read(value, at, report)
        if text is None or "://" in text:
            return text
        if text[:4].isdigit() and not text.endswith((".txt", ".ics")):
            try:
                return date.fromisoformat(text)
            except ValueError:
                report.wrong(at, f'is "{text}"; expected a date such as 2026-12-25')
                return None
        if not (report.folder / text).is_file():
            report.wrong(at, f'is "{text}", and there is no such file; expected {self.name}')
        return str((report.folder / text).absolute())


MOMENT = Scalar("date or time", _moment, {"type": ["string", "integer"]})
EXCEPT = Several(_Except())
BLACKOUTS = Several(Scalar("window", _blackout, TEXT.shape))


def schedule(said: dict[str, Any], at: Path, report: Report) -> Schedule:
    """The schedule, with its moments in its zone."""
    zone = ZoneInfo(said.get("timezone", "UTC"))
    for name in ("start_date", "end_date"):
        found = said.get(name)
        if found is not None and found.tzinfo is None:
            said[name] = found.replace(tzinfo=zone)
    spec = Schedule(**said)
    if spec.every is not None and spec.every < 1:
        report.wrong((*at, "every"), "is shorter than a second; give it one at least")
    if spec.max_active_runs > 1:
        report.wrong(
            (*at, "max_active_runs"),
            f"is {spec.max_active_runs}, and two runs of one pipeline would write the same tables"
            " at the same time; leave it at 1 (`overlap` says what waits, pipelines of other names"
            " or on other targets run side by side)",
        )
    if spec.start_date and spec.end_date and spec.end_date <= spec.start_date:
        report.wrong((*at, "end_date"), "is not after start_date; move one of them")
    return spec


def _partition(said: dict[str, Any], at: Path, report: Report) -> PartitionSpec:
    if said["start"].tzinfo is None:
        said["start"] = said["start"].replace(tzinfo=ZoneInfo(said.get("timezone", "UTC")))
    spec = PartitionSpec(**said)
    longest = LONGEST_OFFSET[spec.by]
    if spec.offset % 60 or timedelta(seconds=spec.offset) >= longest:
        most = "an hour" if spec.by == "hour" else f"{longest.days} day{'s' * (longest.days > 1)}"
        report.wrong(
            (*at, "offset"), f"must be whole minutes, and less than {most} (by: {spec.by})"
        )
    return spec


PARTITION = section(PartitionSpec, title="partition", kinds={"start": MOMENT}, build=_partition)


def _one_rhythm(written: Mapping[str, Any], at: Path, report: Report) -> None:
    if "every" in written and "cron" in written:
        report.wrong((*at, "every"), "replaces cron; keep one of them")
    if "every" not in written and written.get("cron", ()) in ((), []):
        report.wrong(at, "has no cron, and no every; give it one of them")


SCHEDULE = section(
    Schedule,
    title="schedule",
    short="cron",
    check=_one_rhythm,
    shape={"oneOf": [{"required": ["cron"]}, {"required": ["every"]}]},
    build=schedule,
    kinds={
        "except_": EXCEPT,
        "blackouts": BLACKOUTS,
        "start_date": MOMENT,
        "end_date": MOMENT,
    },
)
