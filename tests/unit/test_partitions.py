"""Partitions: their keys, the intervals in UTC that these name, and runs that stand for them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.partitions import Partitions
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import ConfigError, UsageError
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.partition import Grain, PartitionSpec
from dbtorch.service.project.options import RunOptions
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.pipeline_args import pipeline_args

LATER = datetime(2027, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def partitions(by="day", start="2026-01-01", zone="Europe/Berlin", offset=0.0):
    at = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    spec = PartitionSpec(by=Grain(by), start=at, timezone=zone, offset=offset)
    return Partitions(spec, "pipeline daily")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "key", "start", "end"),
    [
        ({}, "2026-11-01", "2026-10-31T23:00", "2026-11-01T23:00"),
        ({"zone": "UTC"}, "2026-11-01", "2026-11-01", "2026-11-02"),
        ({"offset": 6 * 3600}, "2026-11-01", "2026-11-01T05:00", "2026-11-02T05:00"),
        # both changes of the clock: 23 and 25 hours
        ({}, "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
        ({}, "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
        # an offset that the clock of that day leaves out, or shows twice
        ({"offset": 2.5 * 3600}, "2026-03-29", "2026-03-29T01:00", "2026-03-30T00:30"),
        ({"offset": 2.5 * 3600}, "2026-10-25", "2026-10-25T00:30", "2026-10-26T01:30"),
        # a midnight that does not exist
        ({"zone": "America/Santiago"}, "2026-09-06", "2026-09-06T04:00", "2026-09-07T03:00"),
        ({"by": "week"}, "2026-11-02", "2026-11-01T23:00", "2026-11-08T23:00"),
        ({"by": "week", "offset": 86400}, "2026-11-03", "2026-11-02T23:00", "2026-11-09T23:00"),
        ({"by": "week", "offset": 6 * 86400}, "2026-11-08", "2026-11-07T23:00", "2026-11-14T23:00"),
        ({"by": "month"}, "2026-03", "2026-02-28T23:00", "2026-03-31T22:00"),
        ({"by": "month", "offset": 4 * 86400}, "2026-03", "2026-03-04T23:00", "2026-04-04T22:00"),
        ({"by": "hour"}, "2026-11-01T05", "2026-11-01T04:00", "2026-11-01T05:00"),
        # the hour that comes twice
        ({"by": "hour"}, "2026-10-25T02", "2026-10-25T00:00", "2026-10-25T01:00"),
        ({"by": "hour"}, "2026-10-25T02+01:00", "2026-10-25T01:00", "2026-10-25T02:00"),
        # and the one that does not
        ({"by": "hour"}, "2026-03-29T01", "2026-03-29T00:00", "2026-03-29T01:00"),
        ({"by": "hour"}, "2026-03-29T03", "2026-03-29T01:00", "2026-03-29T02:00"),
        ({}, "2026-10-24..2026-10-26", "2026-10-23T22:00", "2026-10-26T23:00"),
    ],
)
def test_a_key_names_an_interval_in_utc(spec, key, start, end):
    found = partitions(**spec).named(key, LATER)
    assert (found.key, found.interval) == (key, Interval(utc(start), utc(end)))


@pytest.mark.parametrize("by", [*Grain])
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"]
)
def test_partitions_adjoin_and_each_has_a_key_of_its_own(by, zone):
    found = partitions(by, "2026-01-01", zone).known(utc("2026-11-15"))
    assert len(found) > 8
    for one, following in pairwise(found):
        assert one.start < one.end == following.start
    assert len({one.key for one in found}) == len(found)
    named = partitions(by, "2026-01-01", zone)
    # of thousands of hours those of days on which clocks are set, and some of any other day
    for one in found if by is not Grain.HOUR else [*near_a_change(found, zone), *found[::17]]:
        assert named.named(one.key, LATER) == one == named.holding(one.end - HOUR / 60)


def near_a_change(found, zone):
    """Those within a day and a half of a change of the clock."""
    zone = ZoneInfo(zone)

    def offset(at):
        return at.astimezone(zone).utcoffset()

    return [
        one for one in found if len({offset(one.start + n * HOUR) for n in range(-36, 37, 12)}) > 1
    ]


def test_those_that_are_over_are_known():
    daily = partitions(zone="UTC")
    assert [one.key for one in daily.known(utc("2026-01-04T00:00"))] == [
        "2026-01-01", "2026-01-02", "2026-01-03",
    ]  # fmt: skip
    assert [one.key for one in daily.known(utc("2026-03-01"), most=2)] == [
        "2026-02-27", "2026-02-28",
    ]  # fmt: skip
    assert daily.last(utc("2026-01-03T23:59")).key == "2026-01-02"
    assert daily.known(utc("2025-06-01")) == []


def test_the_first_begins_with_or_after_the_start():
    assert partitions(offset=6 * 3600).first.start == utc("2026-01-01T05:00")
    assert partitions("week").first.key == "2026-01-05"
    assert partitions("week").around("2026-01-11").key == "2026-01-05"


@pytest.mark.parametrize(
    ("by", "key", "why"),
    [
        (
            "day",
            "yesterday",
            "'yesterday' is no partition of pipeline daily, which has them by day",
        ),
        ("day", "0001-01-01", "write one such as 2026-11-01"),
        ("month", "2026-13", "write one such as 2026-11"),
        ("day", "2026-11-01T05:00", "it lies in 2026-11-01"),
        ("week", "2026-11-04", "by week: it lies in 2026-11-02"),
        (
            "day",
            "2025-12-31",
            "lies before the first partition of pipeline daily, which is 2026-01",
        ),
        ("day", "2027-01-01", "partition 2027-01-01 of pipeline daily is not over before"),
        ("day", "2026-12-30..2027-01-02", "is not over before"),
        ("day", "2026-11-02..2026-11-01", "name the earlier one first"),
        ("day", "..", "'' is no partition"),
    ],
)
def test_what_is_no_partition_is_refused_in_a_sentence(by, key, why):
    with pytest.raises(UsageError) as refused:
        partitions(by).named(key, LATER)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


# -------------------------------------------------------------------- a run


def pipeline(**given):
    return PipelineSpec(name="daily", partition=partitions(zone="UTC").spec, **given)


def context(logical_date=None, **given):
    now = utc("2026-11-05T06:00")
    return RunContext.of(pipeline(), logical_date, now, run_id="r1", **given)


def test_a_run_stands_for_the_partition_that_it_is_told():
    found = context(partition="2026-11-01")
    assert found.interval == Interval(utc("2026-11-01"), utc("2026-11-02"))
    assert (found.partition, found.run["partition"]) == ("2026-11-01", "2026-11-01")
    assert not found.goes_on


def test_a_run_that_is_told_nothing_stands_for_the_last_that_is_over():
    assert context().partition == "2026-11-04"
    assert context(utc("2026-11-02T13:00")).partition == "2026-11-02"
    # a scheduler says which interval it ticked for: the last partition over at its end
    tick = Interval(utc("2026-11-02T06:00"), utc("2026-11-03T06:00"))
    assert context(stands_for=tick).partition == "2026-11-02"


def test_what_a_run_cannot_stand_for_is_refused():
    for given, why in (
        ({"logical_date": utc("2026-11-05")}, "2026-11-05 of pipeline daily is not over before"),
        ({"logical_date": utc("2026-11-01"), "partition": "2026-11-01"}, "give one"),
    ):
        with pytest.raises(UsageError, match=why):
            context(**given)
    with pytest.raises(UsageError, match="pipeline plain has no partitions"):
        RunContext.of(PipelineSpec(name="plain"), None, LATER, run_id="r1", partition="2026-11-01")


def test_variables_and_microbatches_are_those_of_the_partition():
    options = RunOptions(environ={})
    found = pipeline_args(
        pipeline(vars={"day": "{{ run.partition }}"}), options, context(partition="2026-11-01")
    )
    assert found == (
        "--vars", '{"day": "2026-11-01"}',
        "--event-time-start", "2026-11-01T00:00:00", "--event-time-end", "2026-11-02T00:00:00",
    )  # fmt: skip


# -------------------------------------------------------------------- dbtorch.yml


def test_partitions_are_read(tmp_path):
    write(
        tmp_path, "{by: day, start: 2026-01-01, timezone: Europe/Berlin, offset: 6h, lookback: 3}"
    )
    found = load(tmp_path).pipelines["daily"].partition
    assert (found.by, found.offset, found.lookback) == (Grain.DAY, 21600.0, 3)
    assert found.start == utc("2025-12-31T23:00")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("{by: day}", "has no start"),
        ("{start: 2026-01-01}", "has no by"),
        ("{by: year, start: 2026-01-01}", '"year"'),
        ("{by: day, start: soon}", "expected a date or time"),
        ("{by: day, start: 2026-01-01, timezone: Mars}", "no such time zone"),
        ("{by: day, start: 2026-01-01, offset: 24h}", "less than 1 day"),
        ("{by: hour, start: 2026-01-01, offset: 1h}", "less than an hour"),
        ("{by: day, start: 2026-01-01, offset: 90}", "whole minutes"),
        ("{by: day, start: 2026-01-01, looback: 3}", "lookback"),
        ("daily", "mapping"),
    ],
)
def test_wrong_partitions_are_refused_with_their_line(tmp_path, said, why):
    write(tmp_path, said)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)
    assert str(refused.value).startswith("dbtorch.yml:3: ")
    assert why in str(refused.value)


def write(folder, said):
    (folder / "dbtorch.yml").write_text(f"pipelines:\n  daily:\n    partition: {said}\n")
