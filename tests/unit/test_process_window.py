"""Which windows dbt is given: of a run that began in another hour, and of what is left to build."""

from datetime import UTC, datetime

import pytest

from dbtorch.adapters.dbt.microbatches import Microbatches, not_again
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.project.window import end_of_window, unknown, window_of
from dbtorch.adapters.run_files import STARTED, WINDOW_END
from dbtorch.core.model.graph import Graph, Kind, Node

ENVIRON = {STARTED: "2026-11-29T19:54:00.250000+00:00"}


def at(hour, day=29):
    return datetime(2026, 11, day, hour, 58, tzinfo=UTC)


def test_in_the_hour_of_its_beginning_nothing_need_be_said():
    assert end_of_window(DbtArgs.of(()), ENVIRON, at(19)) == {}


@pytest.mark.parametrize("now", [at(20), at(18), at(19, day=30)])
def test_in_another_one_they_end_where_the_run_began(now):
    assert end_of_window(DbtArgs.of(()), ENVIRON, now) == {
        "--event-time-end": "2026-11-29T19:54:01"
    }


def test_a_run_that_began_with_the_hour_has_that_hours_batch_as_well():
    began = {STARTED: "2026-11-29T19:00:00.000001+00:00"}
    found = end_of_window(DbtArgs.of(()), began, at(21))
    assert found == {"--event-time-end": "2026-11-29T19:00:01"}
    began = {STARTED: "2026-11-29T19:00:00.000000+00:00"}
    found = end_of_window(DbtArgs.of(()), began, at(21))
    assert found == {"--event-time-end": "2026-11-29T19:00:00"}


def test_they_end_where_the_interval_of_the_run_does():
    environ = {**ENVIRON, WINDOW_END: "2026-11-28T23:00:00+00:00"}
    assert end_of_window(DbtArgs.of(()), environ, at(19)) == {
        "--event-time-end": "2026-11-28T23:00:00"
    }


@pytest.mark.parametrize("option", ["--event-time-start", "--event-time-end", "--sample"])
def test_what_somebody_has_said_stands(option):
    assert end_of_window(DbtArgs.of((option, "2026-01-01")), ENVIRON, at(22)) == {}
    variable = "DBT_" + option.removeprefix("--").replace("-", "_").upper()
    assert end_of_window(DbtArgs.of(()), {**ENVIRON, variable: "2026-01-01"}, at(22)) == {}


@pytest.mark.parametrize("environ", [{}, {STARTED: "soon"}])
def test_where_nobody_says_when_it_began_dbt_knows_best(environ):
    assert end_of_window(DbtArgs.of(()), environ, at(22)) == {}


def a_day(number):
    return datetime(2026, 11, number, tzinfo=UTC), datetime(2026, 11, number + 1, tzinfo=UTC)


def a_model(id="d", **about):
    about = {"materialized": "incremental", "splits": True, **about}
    return Node(id=id, kind=Kind.MODEL, name=id, **about)


#: Microbatch models d and m, a table e after d, and another one f.
GRAPH = Graph([a_model(), a_model("m"), *(a_model(id, splits=False) for id in "ef")], [("d", "e")])


def left(*, planned=(1, 2, 3), built=(2,), ids="def", given=(), environ=None, **about):
    """The window of a build of d and others, of which some batches were planned and built."""
    known = Microbatches()
    known.adopt({"d": {a_day(day): day in built for day in planned}})
    nodes = [a_model(**about), *(GRAPH.nodes[id] for id in "mef")]
    found = window_of(ids, Graph(nodes, [("d", "e")]), known, DbtArgs.of(given), environ or {})
    return tuple(found.get(f"--event-time-{end}", "")[8:10] for end in ("start", "end"))


@pytest.mark.parametrize(
    ("about", "window"),
    [
        ({}, ("01", "04")),
        ({"built": (1, 2)}, ("03", "04")),
        ({"built": ()}, ("01", "04")),
        ({"built": (1, 2, 3)}, ("03", "04")),  # all but the attempt's end was heard of
        ({"given": ("--event-time-end", "2026-11-29")}, ("01", "04")),
        ({"given": ("--full-refresh",), "full_refresh": False}, ("01", "04")),
        ({"environ": {"DBT_FULL_REFRESH": "false"}}, ("01", "04")),
        ({"ids": "ef"}, ("", "")),
        ({"planned": ()}, ("", "")),
        ({"ids": "dm"}, ("", "")),  # the options would be about both
        ({"given": ("--sample", "3 days")}, ("", "")),  # which counts for more
        ({"environ": {"DBT_SAMPLE": "3 days"}}, ("", "")),
        # what has the same batches each time, and would lose others with its table
        ({"full_refresh": True}, ("", "")),
        ({"given": ("--full-refresh",)}, ("", "")),
        ({"environ": {"DBT_FULL_REFRESH": "true"}}, ("", "")),
        ({"given": ("--event-time-start", "2026-11-27")}, ("", "")),
        ({"environ": {"DBT_EVENT_TIME_START": "2026-11-27"}}, ("", "")),
        ({"materialized": "table"}, ("", "")),
    ],
)
def test_a_build_is_about_what_was_planned_and_is_not_known_to_be_built(about, window):
    assert left(**about) == window


def not_given(unsettled="d", *, given=(), environ=None, **about):
    """What a build of d, e and m is not given."""
    nodes = [a_model(**about), *(GRAPH.nodes[id] for id in "mef")]
    graph = Graph(nodes, [("d", "e"), ("e", "m")])
    return unknown("dem", graph, unsettled, DbtArgs.of(given), environ or {})


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"given": ("--sample", "3 days")},
        {"given": ("--event-time-end", "2026-11-29")},
        {"given": ("--full-refresh",), "full_refresh": False},
        {"environ": {"DBT_FULL_REFRESH": "false"}},
        {"unsettled": "dm"},  # the first says it all
    ],
)
def test_batches_of_which_nobody_knows_whether_they_were_built_are_a_failure(about):
    assert not_given(**about) == ["d"]


@pytest.mark.parametrize(
    "about",
    [
        {"unsettled": ""},
        {"given": ("--event-time-start", "2026-11-27")},
        {"environ": {"DBT_EVENT_TIME_START": "2026-11-27"}},
        {"given": ("--full-refresh",)},
        {"full_refresh": True},
        {"environ": {"DBT_FULL_REFRESH": "true"}},
        {"materialized": "table"},
    ],
)
def test_what_has_the_same_batches_each_time_is_tried_again(about):
    assert not_given(**about) == []


def test_the_failure_says_what_to_do_and_what_the_attempt_before_came_to():
    message = not_again("d", "bad batch").message
    assert "`dbtorch run --select d+ --event-time-start ... --event-time-end ...`" in message
    assert message.endswith("the attempt before: bad batch")
    assert "attempt before" not in not_again("d").message
