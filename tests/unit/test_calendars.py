"""Days that schedules leave out, from a real HTTP server that is down at times."""

from datetime import date, timedelta

import pytest

from dbtorch.adapters.calendars import AGAIN, EVERY, PATIENCE, Calendars, NotYet
from dbtorch.adapters.except_dates import dates_in
from dbtorch.core.errors import ProjectError
from dbtorch.core.schedule.schedule import Schedule
from tests.unit.loopback import serving as http_server
from tests.unit.serving import HOURLY
from tests.waiting import wait_for

HOLIDAYS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:{day}
SUMMARY:Holiday
END:VEVENT
END:VCALENDAR
"""

SECRET = "/private-0a1b2c/basic.ics"


@pytest.fixture(scope="module", autouse=True)
def fsspec_has_a_thread():
    """One for the whole process, which stays."""
    from fsspec.asyn import get_loop

    get_loop()


@pytest.fixture
def server():
    with http_server() as one:
        yield one


def says(server, day):
    server.says(SECRET, (200, {"Content-Type": "text/calendar"}, HOLIDAYS.format(day=day)))


class Calendar:
    """Calendars with a clock that is set; readings are over when it answers."""

    def __init__(self):
        self.now, self.problems = 0.0, []
        self.all = Calendars(on_problem=self.problems.append, clock=lambda: self.now)

    def dates(self, url):
        """What it says once nothing is being read."""
        for _ in range(2):
            try:
                found = self.all.dates(url)
            except ProjectError as error:
                found = error
            wait_for(lambda: not any(one.reading for one in self.all._known.values()))
        if isinstance(found, NotYet):
            found = self.all.dates(url)
        if isinstance(found, ProjectError):
            raise found
        return found


def test_a_calendar_is_read_again_and_stays_as_it_was_while_it_cannot_be(server):
    url, one = f"{server.url}{SECRET}?token=s3cr3t", Calendar()
    says(server, "20261225")
    with pytest.raises(NotYet, match="is being read"):
        one.all.dates(url)  # nobody waits for it
    assert one.dates(url) == {date(2026, 12, 25)}
    asked = len(server.requests)
    assert one.dates(url) == {date(2026, 12, 25)}
    assert (len(server.requests), one.all.version) == (asked, 1)

    server.says(SECRET, (503, {}, "down for maintenance"))
    one.now += EVERY
    assert one.dates(url) == {date(2026, 12, 25)}  # as it was
    assert len(one.problems) == 1
    assert one.problems[0].startswith("its days stay as they were: http://127.0.0.1/…, which")

    says(server, "20261226")
    one.now += AGAIN - 1
    assert one.dates(url) == {date(2026, 12, 25)}
    one.now += 1
    one.dates(url)
    assert one.dates(url) == {date(2026, 12, 26)}
    assert one.all.version == 2
    assert len(one.problems) == 1


@pytest.mark.parametrize("answer", [(404, {}, "gone"), (200, {}, "<html>sign in</html>")])
def test_one_that_was_never_read_is_no_calendar_and_its_secret_is_not_said(server, answer):
    server.says(SECRET, answer)
    url, one = f"{server.url}{SECRET}?token=s3cr3t", Calendar()
    with pytest.raises(
        ProjectError, match=r"http://127\.0\.0\.1/…, which .* cannot be read"
    ) as bad:
        one.dates(url)
    assert not isinstance(bad.value, NotYet)
    assert "private" not in str(bad.value)
    assert "s3cr3t" not in str(bad.value)
    says(server, "20261225")
    one.now += AGAIN
    with pytest.raises(ProjectError):
        one.all.dates(url)
    wait_for(lambda: one.all._known[url].days)
    assert one.dates(url) == {date(2026, 12, 25)}


def test_one_that_never_answers_holds_nobody_up():
    one, read = Calendar(), []

    def hangs(source):
        read.append(source)
        wait_for(lambda: one.now > 2 * EVERY)
        return frozenset()

    one.all.read = hangs
    with pytest.raises(NotYet):
        one.all.dates("http://127.0.0.1:1/x.ics")
    one.now += PATIENCE
    with pytest.raises(ProjectError, match="has not answered for 30 s") as bad:
        one.all.dates("http://127.0.0.1:1/x.ics")
    assert not isinstance(bad.value, NotYet)
    one.now += EVERY  # it is given up, and tried once more
    with pytest.raises(NotYet):
        one.all.dates("http://127.0.0.1:1/x.ics")
    wait_for(lambda: len(read) == 2)
    one.now += 2 * EVERY
    wait_for(lambda: one.all._known["http://127.0.0.1:1/x.ics"].days is not None)


def test_a_pipeline_whose_calendar_cannot_be_read_waits_and_loses_nothing(
    serving, server, monkeypatch
):
    server.says(SECRET, 503)
    one = serving(pipelines={"daily": HOURLY, "other": HOURLY})
    assert one.ticks() == []
    calendars = Calendar()
    pipelines = {
        "daily": Schedule(crons=("0 * * * *",), except_=(f"{server.url}{SECRET}",)),
        "other": HOURLY,
    }
    one.serve(pipelines, calendars.all)
    one.turn()
    wait_for(lambda: one.events("pipeline_broken") or one.turn())
    one.turn(timedelta(hours=1))
    assert one.run() == ["other"]
    says(server, "20260329")  # today, all of it
    calendars.now += AGAIN
    monkeypatch.setattr("dbtorch.schedule.scheduler._TRY_AGAIN", 0.0)
    wait_for(lambda: one.events("pipeline_fixed") or one.turn())
    one.turn(timedelta(hours=1))
    assert one.run() == ["other"]  # it is a holiday
    says(server, "20260330")
    calendars.now += EVERY
    calendars.all.look()  # though nobody asks before tomorrow
    wait_for(lambda: calendars.all.version == 2)
    one.turn()
    assert one.run() == ["daily"]  # and that is not a holiday any more
    assert len(one.events("pipeline_broken")) == 1


def test_who_asks_once_reads_at_once_or_is_told(server):
    says(server, "20261225")
    assert dates_in(f"{server.url}{SECRET}") == {date(2026, 12, 25)}
    server.says(SECRET, 500)
    with pytest.raises(ProjectError, match="cannot be read"):
        dates_in(f"{server.url}{SECRET}")
