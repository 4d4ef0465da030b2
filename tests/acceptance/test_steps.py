"""Steps of every type in one run, pools, and time-outs of steps and models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.acceptance.slow import PROFILES, SLOW_SQL
from tests.acceptance.workspace import Done, Shown, Workspace
from tests.engines import Can, shows
from tests.unit.loopback import Server, serving

FILES = {
    "profiles.yml": PROFILES,
    "dbtorch.yml": """
        defaults: {retry: {retries: 1, delay: 0s}}
        pools: {crm_api: 1}
        step_modules: [tasks]
        steps:
          extract:
            command: [sh, -c, 'echo "extracting for $STAGE"; printf "{\\"rows\\": 42}" > "$DBTORCH_OUTPUT"']
            env: {STAGE: "{{ target.name }}"}
            opens_database: false
          load:
            python: tasks:load
            after: step:extract
            produces: source:raw.orders
            params: {table: orders}
          grant:
            sql: |
              create table {{ target.schema }}.copied as select * from {{ ref('orders') }};
              insert into {{ target.schema }}.copied select id + 1 from {{ ref('orders') }}
            after: orders
          grant_from_file: {sql: sql/grants.sql, after: step:grant}
          refresh:
            http:
              url: "{{ env_var('BI_URL') }}/refresh"
              json: {rows: "{{ outputs.load.rows }}"}
              poll:
                url: "{{ env_var('BI_URL') }}/jobs/{{ response.json.job }}"
                until: json.state == 'done'
                every: 0.05s
            after: orders
          left_out: {command: touch left_out.txt, when: "{{ env_var('NOWHERE', '') }}"}
          one: {command: &turn 'echo start >> turns.txt; sleep 0.3; echo end >> turns.txt', pool: crm_api, opens_database: false}
          two: {command: *turn, pool: crm_api, opens_database: false}
          three: {command: *turn, pool: crm_api, opens_database: false}
          too_long:  # and its child does not listen
            command: "(trap '' TERM; while sleep 0.2; do echo alive; done) & wait"
            timeout: 1s
            retries: 0
            opens_database: false
          hopeless: {python: tasks:hopeless, opens_database: false}
    """,
    "sql/grants.sql": "create table {{ target.schema }}.granted as select '{{ run.id }}' as run_id",
    "tasks.py": """
        import os

        import dbtorch

        def load(context):
            import duckdb

            table = context.params["table"]
            with duckdb.connect(context.target["path"]) as connection:
                connection.execute("create schema if not exists raw")
                connection.execute(f"create or replace table raw.{table} as select 1 as id")
            print("loaded for", context.run_id)
            return {"rows": context.outputs["extract"]["rows"], "pid": os.getpid()}

        def hopeless(context):
            raise dbtorch.Fail("the contract has ended")

        @dbtorch.step(after="orders", retries=2, owner="Ann")
        def declared(context):
            \"\"\"Works the second time.\"\"\"
            print(context.idempotency_key)
            if context.attempt == 1:
                raise dbtorch.Retry("not yet")
            return {"key": context.idempotency_key}
    """,
    "models/orders.sql": "select id from {{ source('raw', 'orders') }}",
    "models/slow.sql": SLOW_SQL,
    "models/schema.yml": """
        sources:
          - {name: raw, tables: [{name: orders}]}
        models:
          - {name: slow, config: {meta: {dbtorch: {timeout: 1s, retries: 0}}}}
    """,
    "size.csv": "n\n1000000\n",
}


@dataclass(frozen=True, kw_only=True)
class Story:
    workspace: Workspace
    server: Server
    done: Done
    run: Shown

    def output(self, step: str) -> dict[str, object]:
        found: dict[str, object] = self.run.nodes[step]["attempts"][-1]["output"]
        return found

    def log(self, step: str, *more: str) -> str:
        return self.workspace.dbtorch("logs", "latest", step, *more).out


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One run of everything."""
    workspace = Workspace(tmp_path_factory.mktemp("steps") / "shop", FILES)
    with serving() as server:
        server.says("/refresh", 503, (202, {}, {"job": 7}))
        server.says("/jobs/7", (200, {}, {"state": "busy"}), (200, {}, {"state": "done"}))
        workspace.env["BI_URL"] = server.url
        done = workspace.dbtorch("run", code=1)
        yield Story(workspace=workspace, server=server, done=done, run=workspace.show())


def test_what_failed_is_what_had_to(story: Story) -> None:
    assert story.run.names("failed") == {"too_long", "hopeless", "slow"}
    assert story.run.names("skipped") == {"left_out"}
    assert not story.run.names("upstream_failed") | story.run.names("cancelled")


def test_a_command_writes_its_output_and_its_log(story: Story) -> None:
    assert story.output("extract") == {"rows": 42}
    assert "extracting for dev\n" in story.log("extract")


def test_a_python_step_gets_outputs_and_gives_its_own(story: Story) -> None:
    assert story.output("load")["rows"] == 42
    assert f"loaded for {story.run.id}\n" in story.log("load")


@shows(Can.SQL)
def test_sql_runs_through_dbts_connection_in_its_templating(story: Story) -> None:
    assert story.workspace.query("select id from main.copied order by id") == [(1,), (2,)]
    assert story.workspace.query("select run_id from main.granted") == [(story.run.id,)]
    assert "create table main.copied" in story.log("grant")


def test_http_is_tried_again_with_the_same_key_and_polls(story: Story) -> None:
    assert story.run.tries["refresh"] == 2
    posts = [request for request in story.server.requests if request[0] == "POST"]
    keys = {headers["idempotency-key"] for _, _, headers, _ in posts}
    assert len(posts) == 2
    assert len(keys) == 1
    assert "42" in posts[0][3]
    polls = [request for request in story.server.requests if request[:2] == ("GET", "/jobs/7")]
    assert len(polls) == 2


def test_a_step_without_reason_to_run_is_skipped(story: Story) -> None:
    assert not (story.workspace.dir / "left_out.txt").exists()
    assert "NOWHERE" in story.run.nodes["left_out"]["reason"]
    assert "1 node skipped" in story.done.out


def test_a_pool_of_one_lets_one_at_a_time(story: Story) -> None:
    assert story.workspace.lines("turns.txt") == ["start", "end"] * 3


def test_a_declared_step_is_retried_with_the_same_key(story: Story) -> None:
    first, second = story.run.nodes["declared"]["attempts"]
    assert (first["failure_class"], first["message"]) == ("transient", "not yet")
    assert second["output"]["key"] in story.log("declared", "--attempt", "1").splitlines()
    assert story.run.nodes["declared"]["owner"] == "Ann"


def test_trying_again_is_of_no_use_after_fail(story: Story) -> None:
    (attempt,) = story.run.nodes["hopeless"]["attempts"]
    assert attempt["failure_class"] == "code"
    assert "the contract has ended" in attempt["message"]


@shows(Can.TIMEOUTS)
@pytest.mark.parametrize("name", ["too_long", "slow"])
def test_what_takes_too_long_is_cancelled(story: Story, name: str) -> None:
    (attempt,) = story.run.nodes[name]["attempts"]
    assert attempt["failure_class"] == "timeout"
    assert attempt["message"] == "timed out after 1 s"
    assert story.workspace.is_quiet()


def test_dbt_lists_its_own_nodes(story: Story) -> None:
    assert story.workspace.results() == {"model.shop.orders": "success", "model.shop.slow": "error"}
