"""What a run stands for, from the command line to a step."""

from datetime import datetime

import pytest

FILES = {
    "models/orders.sql": "select 1 as id",
    "dbtorch.yml": """
        pipelines:
          daily: {schedule: "0 6 * * *"}
        defaults: {retries: 0}
        steps:
          told:
            command: >-
              echo "$DBTORCH_LOGICAL_DATE,$DBTORCH_DATA_INTERVAL_START,$DBTORCH_DATA_INTERVAL_END,$DBTORCH_PREVIOUS_SUCCESS_END"
              > told.txt; test ! -e broken
            env: {SINCE: "{{ run.data_interval_start | default('ever') }}"}
    """,
}


def told(workspace):
    return (workspace.dir / "told.txt").read_text().strip().split(",")


def test_without_a_schedule_intervals_adjoin_from_success_to_success(workspace):
    workspace.write(FILES)
    workspace.dbtorch("run")
    logical_date, start, end, previous = told(workspace)
    assert (start, previous, logical_date) == ("", "", end)

    (workspace.dir / "broken").touch()
    workspace.dbtorch("run", code=1)
    _, first_start, first_end, _ = told(workspace)
    assert (first_start, datetime.fromisoformat(first_end) > datetime.fromisoformat(end)) == (
        end,
        True,
    )
    (workspace.dir / "broken").unlink()
    workspace.dbtorch("retry")
    assert told(workspace) == [end, end, first_end, end]  # as at first

    workspace.dbtorch("run", "--select", "orders")  # a part moves nothing on
    workspace.dbtorch("run")
    assert told(workspace)[1] == told(workspace)[3] == first_end
    said = workspace.dbtorch("show", "latest", "--format", "json").json()
    assert (said["logical_date"], said["data_interval_start"]) == (first_end, first_end)


def test_with_a_schedule_a_run_stands_for_a_whole_interval(workspace):
    workspace.write(FILES)
    run = ("run", "--pipeline", "daily")
    workspace.dbtorch(*run, "--logical-date", "2026-03-02T05:59:59Z")
    first = ["2026-03-01T06:00:00+00:00", "2026-03-02T06:00:00+00:00"]
    assert told(workspace) == [first[0], *first, ""]
    workspace.dbtorch(*run, "--logical-date", "2026-03-04T06:00:00Z")
    assert told(workspace)[1:] == [
        "2026-03-04T06:00:00+00:00", "2026-03-05T06:00:00+00:00", first[1],
    ]  # fmt: skip
    assert (
        "covers     2026-03-04 06:00:00 UTC to 2026-03-05 06:00:00 UTC"
        in workspace.dbtorch("show").out
    )


@pytest.mark.parametrize(
    "date", ["0001-01-01", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00+12:00", "9999-12-31"]
)
@pytest.mark.parametrize("pipeline", [[], ["--pipeline", "daily"]])
def test_the_ends_of_time_are_refused_in_a_sentence(workspace, date, pipeline):
    workspace.write(FILES)
    said = workspace.dbtorch("run", *pipeline, "--logical-date", date, code=2)
    assert date in said.err
    assert "--logical-date" in said.err
