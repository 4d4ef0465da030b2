"""Ten years of random schedules against somebody who looks at the clock every minute.

The reference knows no croniter and no interval: it walks minute by minute, looks at what a clock on
the wall shows, and does what the rule says in words.
"""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from dbtorch.adapters.cron import Ticks
from dbtorch.core.schedule.schedule import Schedule

ZONES = ("Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe")
BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

#: Random expressions in each zone, and those that other programs get wrong.
MANY = 12
KNOWN = ("30 2 * * *", "0 0 * * *", "45 1 * * *", "15 2 * * *", "0 0 29 2 *", "0 12 13 * 5")


@cache
def changes(zone):
    """The hours of the ten years in which the clocks are set, with some before and after."""
    found, at, here = [], BEGIN, ZoneInfo(zone)
    before = at.astimezone(here).utcoffset()
    while at < END:
        at += HOUR
        offset = at.astimezone(here).utcoffset()
        if offset != before:
            found.append((at - 5 * HOUR, at + 4 * HOUR))
        before = offset
    return found


def random_field(rng, low, high):
    """A field of an expression, and the values that it names."""
    kind = rng.choice(["*", "*/", "one", "list", "range", "range/"])
    values = range(low, high + 1)
    step, one = rng.randint(2, max(2, len(values) // 2)), rng.choice(values)
    first, last = sorted(rng.sample(values, 2))
    some = sorted(rng.sample(values, 3))
    return {
        "*": ("*", set(values)),
        "*/": (f"*/{step}", set(values[::step])),
        "one": (str(one), {one}),
        "list": (",".join(map(str, some)), set(some)),
        "range": (f"{first}-{last}", set(range(first, last + 1))),
        "range/": (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
    }[kind]


def random_cron(rng):
    """An expression that is due at least once a day on most days, and its five sets."""
    fields = [random_field(rng, 0, 59), random_field(rng, 0, 23)]
    fields.append(random_field(rng, 1, 31) if rng.random() < 0.2 else ("*", set(range(1, 32))))
    fields.append(("*", set(range(1, 13))))
    fields.append(random_field(rng, 0, 6) if rng.random() < 0.3 else ("*", set(range(7))))
    return " ".join(text for text, _ in fields), [values for _, values in fields]


def parsed(cron):
    sizes = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    fields = cron.split()
    return cron, [
        set(range(low, high + 1)) if field == "*" else {int(field)}
        for field, (low, high) in zip(fields, sizes, strict=True)
    ]


class Looking:
    """Somebody in front of a clock, with an expression on a piece of paper."""

    def __init__(self, cron, sets, zone):
        self.minutes, self.hours, self.days, self.months, self.weekdays = sets
        minute, hour, day, _, weekday = cron.split()
        self.follows_the_clock = minute.startswith("*") or hour.startswith("*")
        self.either_day = day[0] != "*" and weekday[0] != "*"
        self.zone = ZoneInfo(zone)

    def names(self, wall):
        """Whether the paper names what the clock shows."""
        if wall.minute not in self.minutes or wall.hour not in self.hours:
            return False
        by_day, by_week = wall.day in self.days, (wall.weekday() + 1) % 7 in self.weekdays
        day = by_day or by_week if self.either_day else by_day and by_week
        return day and wall.month in self.months

    def due(self, begin, end):
        """What is due in so many minutes, one after the other."""
        at = begin - 3 * HOUR
        shown = at.astimezone(self.zone).replace(tzinfo=None)
        latest, found = shown, []
        while at < end:
            at += MINUTE
            before, shown = shown, at.astimezone(self.zone).replace(tzinfo=None)
            if self.follows_the_clock:
                due = self.names(shown)
            else:  # all that the clock has not shown yet, what it leaps over included
                due, wall = False, max(latest, before)
                while wall < shown:
                    wall += MINUTE
                    due = due or self.names(wall)
                latest = max(latest, shown)
            if due and at > begin:
                found.append(at)
        return found


def test_the_reference_itself_does_what_daemons_do():
    fixed = Looking(*parsed("30 2 * * *"), "Europe/Berlin")
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    assert fixed.due(spring, spring + 12 * HOUR) == [spring + HOUR]
    assert fixed.due(autumn, autumn + 12 * HOUR) == [autumn + 30 * MINUTE]
    wild = Looking(*parsed("30 * * * *"), "Europe/Berlin")
    assert len(wild.due(autumn, autumn + 24 * HOUR)) == 24


@pytest.mark.parametrize("zone", ZONES)
def test_around_each_change_of_ten_years_ticks_are_what_somebody_sees(zone):
    rng = random.Random(f"17 {zone}")
    crons = [*map(parsed, KNOWN), *(random_cron(rng) for _ in range(MANY))]
    spans = changes(zone)
    assert len(spans) == 20
    for cron, sets in crons:
        ticks = Ticks(Schedule(crons=(cron,), timezone=zone))
        looking = Looking(cron, sets, zone)
        for change, _ in rng.sample(spans, 3):
            begin = change + rng.randrange(5 * 60) * MINUTE
            seen = looking.due(begin, begin + 8 * HOUR)
            assert list(ticks.between(begin, begin + 8 * HOUR)) == seen, f"{cron} {begin}"
            for a, b in islice(pairwise(seen), 3):
                assert ticks.at_or_before(b - MINUTE / 2) == a, f"{cron} {b}"


@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_day_by_day_are_what_somebody_sees(zone):
    """All of the ten years, of one expression a zone that is due twice a day and is not wild."""
    rng = random.Random(f"18 {zone}")
    hours = sorted(rng.sample(range(4), 2))
    cron = f"{rng.choice([0, 15, 30, 45])} {hours[0]},{hours[1]} * * *"
    minute, hour = {int(cron.split(maxsplit=1)[0])}, set(hours)
    sets = [minute, hour, set(range(1, 32)), set(range(1, 13)), set(range(7))]
    found = list(Ticks(Schedule(crons=(cron,), timezone=zone)).between(BEGIN, END))
    for begin, end in changes(zone):
        seen = Looking(cron, sets, zone).due(begin, end)
        assert [one for one in found if begin < one <= end] == seen
    here = ZoneInfo(zone)
    shown = [one.astimezone(here).replace(tzinfo=None) for one in found]
    for at, wall in zip(found, shown, strict=True):
        if not any(begin < at <= end for begin, end in changes(zone)):
            assert (wall.hour, wall.minute) in {(one, *minute) for one in hour}
    assert len(found) == pytest.approx(2 * (END - BEGIN).days, abs=11)  # two in a gap are one tick
