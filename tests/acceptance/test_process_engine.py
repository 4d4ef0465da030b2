"""dbt 2, which gets the graph in parts: the run's rules are those of any run."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.slow import FILES as SLOW_FILES
from tests.acceptance.slow import SLOW, SLOW_SQL, set_slow
from tests.acceptance.test_head_start import expect_another_answer, kept_answer
from tests.acceptance.workspace import Workspace, eventually
from tests.dbt2 import file_for_both
from tests.engines import PROCESS_2, Can, shows
from tests.environments import Dbt

#: A model that fails until its file is there, in a graph where others have nothing to do with it.
FILES = {
    "models/first.sql": "select 1 as id",
    "models/flaky.sql": "select * from read_csv('late.csv'), {{ ref('first') }}",
    "models/after_flaky.sql": "{{ config(materialized='table') }} select * from {{ ref('flaky') }}",
    "models/other.sql": "select id from {{ ref('first') }}",
    "models/inlined.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('other') }}",
    "models/last.sql": "select id from {{ ref('inlined') }}",
    "models/schema.yml": """
        models:
          - name: first
            columns: [{name: id, data_tests: [not_null]}]
          - name: last
            columns: [{name: id, data_tests: [{accepted_values: {arguments: {values: [2]}, config: {severity: warn}}}]}]
        exposures:
          - {name: board, type: dashboard, owner: {name: Ada}, depends_on: [ref('last')]}
    """,
}

EXECUTED = {"first", "flaky", "after_flaky", "other", "inlined", "last"}


class Shop(Workspace):
    """A project that dbt 2 builds."""

    def configure(self, text: str) -> None:
        """What dbtorch.yml says besides the engine."""
        self.write({"dbtorch.yml": text})

    def batches(self) -> list[set[str]]:
        """What dbt was given together in the last run, by name."""
        folders = sorted(
            self.dir.glob(f".dbtorch/runs/{self.show().id}/dbt/batch-*"),
            key=lambda folder: int(folder.name.partition("-")[2]),
        )
        chosen = [json.loads((folder / "run_results.json").read_text()) for folder in folders]
        return [{one["unique_id"].split(".")[2] for one in found["results"]} for found in chosen]


@pytest.fixture
def shop(tmp_path: Path, dbt2: Dbt) -> Shop:
    return Shop(tmp_path / "shop", driven=PROCESS_2)


def test_a_failure_is_tried_again_with_what_was_left_out_because_of_it(shop: Shop) -> None:
    shop.write(FILES)
    shop.configure(
        """
defaults: {retry: {on: {code: 60, unknown: 60, transient: 60}, delay: 1s, max_delay: 1s, jitter: false}}
steps:
  publish: {command: "echo $DBTORCH_RUN_ID >> published.txt", after: ["exposure:board"]}
"""
    )
    with shop.started("run") as run:
        run.wait_for("RETRY", "flaky")
        shop.write({"late.csv": "n\n1\n"})
        assert run.ended().code == 0
    shown = shop.show()
    assert shown.states == {
        **dict.fromkeys(("first", "flaky", "after_flaky", "other", "last"), "success"),
        **dict.fromkeys(("inlined", "not_null_first_id", "board", "publish"), "success"),
        "accepted_values_last_id__2": "warn",
    }
    assert {name for name, tries in shown.tries.items() if tries != 1} == {"flaky"}
    assert shown.tries["flaky"] >= 2
    first, *_, again = shop.batches()
    assert first == EXECUTED | {"not_null_first_id", "accepted_values_last_id__2", "board"}
    assert again == {"flaky", "after_flaky"}
    folder = shop.dir / ".dbtorch" / "runs" / shown.id / "dbt" / "held"
    assert (folder / "2" / "run_results.json").is_file()  # it had read the project by then
    assert len(shop.lines("published.txt")) == 1
    assert shop.query("select count(*) from after_flaky") == [(1,)]
    log = shop.dbtorch("logs", "latest", "flaky", "--attempt", "1").out
    assert "late.csv" in log
    results = shop.results()
    assert results["model.shop.flaky"] == "success"
    assert {id.split(".")[2] for id in results} == first
    content = json.loads((shop.dir / "target" / "run_results.json").read_text())
    assert content["metadata"]["dbt_version"].startswith("2.")


def test_what_did_not_succeed_runs_again_and_nothing_else(shop: Shop) -> None:
    shop.write(FILES)
    shop.dbtorch("run", "--retries", "0", code=1)
    shown = shop.show()
    assert (shown.states["flaky"], shown.states["after_flaky"]) == ("failed", "upstream_failed")
    assert shown.nodes["flaky"]["attempts"][0]["failure_class"] == "code"
    assert "late.csv" in shown.nodes["flaky"]["attempts"][0]["message"]
    assert shown.states["last"] == "success"
    assert shop.results()["model.shop.after_flaky"] == "skipped"
    shop.write({"late.csv": "n\n1\n"})
    shop.dbtorch("retry")
    shown = shop.show()
    assert shown.state == "success"
    assert shop.batches()[-1] == {"flaky", "after_flaky"}
    assert (shown.tries["flaky"], shown.tries["first"]) == (2, 1)
    assert set(shop.results().values()) <= {"success", "pass", "warn", "no-op"}


@shows(Can.TIMEOUTS, on=PROCESS_2)
def test_a_time_out_interrupts_dbt_and_costs_nobody_else_anything(shop: Shop) -> None:
    slow(shop, "defaults: {retry: {on: {timeout: 0}}}")
    limit = "models: [{name: slow, config: {meta: {dbtorch: {timeout: 3s}}}}]"
    shop.write({"models/beside.sql": "select 1 as id", "models/behind.sql": BEHIND})
    shop.write({"models/schema.yml": limit})
    shop.dbtorch("run", code=1)
    shown = shop.show()
    assert shown.states == {
        **dict.fromkeys(("quick", "beside", "behind"), "success"),
        "slow": "failed",
        "after_slow": "upstream_failed",
        "publish": "upstream_failed",
    }
    attempt = shown.nodes["slow"]["attempts"][0]
    assert (attempt["message"], attempt["failure_class"]) == ("timed out after 3 s", "timeout")
    assert shown.tries["behind"] == 1


#: Runs when the slow one would, if dbt had a thread for it.
BEHIND = "-- depends_on: {{ ref('quick') }}\nselect 2 as id"


HOOKS = {
    "dbt_project.yml": """
        name: shop
        profile: shop
        on-run-start:
          - create table if not exists notes (what text)
          - "{{ note('start in ' ~ schemas | join) }}"
        on-run-end:
          - "{{ note(results | length ~ ' results, first ' ~ results[0].node.name) }}"
          - "{% if var('broken', false) %} select * from nowhere {% endif %}"
          - "{{ note('last') }}"
    """,
    "macros/note.sql": """
        {% macro note(what) %} insert into notes values ('{{ what }}') {% endmacro %}
    """,
    "dbt_packages/audit/dbt_project.yml": """
        name: audit
        on-run-end: "{{ audit.signed() }}"
    """,
    "dbt_packages/audit/macros/signed.sql": """
        {% macro signed() %} insert into notes values ('audited') {% endmacro %}
    """,
}


@shows(Can.HOOKS, on=PROCESS_2)
def test_hooks_run_once_however_many_batches_there_are(shop: Shop) -> None:
    shop.write({**FILES, **HOOKS})
    shop.configure(
        """
defaults: {retry: {on: {code: 60, unknown: 60, transient: 60}, delay: 1s, max_delay: 1s, jitter: false}}
steps:
  load: {command: "true", opens_database: false}
  check: {command: "true", after: [other, "step:load"], opens_database: false}
"""
    )
    with shop.started("run") as run:
        run.wait_for("RETRY", "flaky")
        shop.write({"late.csv": "n\n1\n"})
        assert run.ended().code == 0
    assert len(shop.batches()) >= 2
    *notes, last = (what for (what,) in shop.query("select what from notes"))
    assert notes[0] == "start in main"
    assert notes[1] == "audited"  # packages come first
    assert notes[2].endswith(" results, first shop-on-run-start-0")
    assert int(notes[2].split()[0]) >= len(EXECUTED)
    assert last == "last"
    results = shop.results()
    hooks = {id: status for id, status in results.items() if id.startswith("operation.")}
    assert len(hooks) == 6
    assert set(hooks.values()) == {"success"}
    manifest = json.loads((shop.dir / "target" / "manifest.json").read_text())
    assert {id for id in manifest["nodes"] if id.startswith("operation.")} == hooks.keys()
    assert not [id for id in manifest["macros"] if "dbtorch" in id]
    assert not (shop.dir / "dbtorch_hooks").exists()


def test_a_hook_that_fails_fails_the_run_and_leaves_out_those_after_it(shop: Shop) -> None:
    shop.write({**HOOKS, "models/first.sql": "select 1 as id"})
    shop.dbtorch("run", "--vars", "{broken: true}", code=1)
    shown = shop.show()
    assert shown.states == {
        "first": "success",
        **dict.fromkeys(("shop-on-run-start-0", "shop-on-run-start-1"), "success"),
        "audit-on-run-end-0": "success",
        "shop-on-run-end-0": "success",
        "shop-on-run-end-1": "failed",
        "shop-on-run-end-2": "upstream_failed",
    }
    assert "nowhere" in shown.nodes["shop-on-run-end-1"]["reason"]
    assert ("last",) not in shop.query("select what from notes")


@pytest.mark.parametrize("side", ["start", "end"])
def test_a_hook_that_takes_for_ever_ends_with_the_run(shop: Shop, side: str) -> None:
    slow_hook = " ".join(SLOW_SQL.partition("}}")[2].split())
    shop.write(
        {
            "models/first.sql": "select 1 as id",
            "dbt_project.yml": f"""
                name: shop
                profile: shop
                on-run-{side}: "create or replace table hooked as {slow_hook}"
            """,
        }
    )
    set_slow(shop, slow=True)
    with shop.started("run", "--log-format", "json") as run:
        run.wait_for_node(f"operation.shop.shop-on-run-{side}-0")
        run.signal(signal.SIGTERM)
        assert run.ended().code == 143
        assert shop.is_quiet()
    assert shop.show().state == "cancelled"
    set_slow(shop, slow=False)
    shop.dbtorch("retry")
    shown = shop.show()
    assert (shown.state, shown.states["first"]) == ("success", "success")
    assert shop.query("select count(*) from hooked") == [(1,)]


@shows(Can.FRESHNESS, on=PROCESS_2)
@pytest.mark.parametrize("where", ["first", "alone", "together"])
def test_a_stale_source_holds_back_what_is_built_on_it(shop: Shop, where: str) -> None:
    raised = {"name": "missing", "config": AGE}
    old = {"name": "events", "config": AGE}
    tables = {"first": [old, raised], "alone": [old], "together": [raised, old]}[where]
    shop.write(
        {
            "models/sources.yml": json.dumps(
                {"sources": [{"name": "raw", "schema": "main", "tables": tables}]}
            ),
            "models/on_events.sql": "select * from {{ source('raw', 'events') }}",
            "models/after_events.sql": "select * from {{ ref('on_events') }}",
            "models/free.sql": "select 1 as id",
            **({} if where == "alone" else {"models/on_missing.sql": ON_MISSING}),
        }
    )
    shop.configure("freshness: {default: {on_stale: skip}}\n")
    file_for_both(
        shop.dir / "warehouse.duckdb",
        "create table events as select timestamp '2020-01-01' as loaded_at",
    )
    shop.dbtorch("run", code=3)
    shown = shop.show()
    assert shown.states["on_events"] == shown.states["after_events"] == "skipped"
    assert "is stale" in shown.nodes["on_events"]["reason"]
    assert shown.states["free"] == "success"
    written = json.loads((shop.dir / "target" / "sources.json").read_text())["results"]
    statuses = {one["unique_id"]: one["status"] for one in written}
    assert statuses["source.shop.raw.events"] == "error"
    if where != "alone":
        assert statuses["source.shop.raw.missing"] == "runtime error"
        assert "could not be checked" in shown.nodes["on_missing"]["reason"]
    if where == "first":
        return
    done = shop.dbtorch("freshness", "--format", "json", code=3 if where == "alone" else 1)
    told = {one["id"]: one["status"] for one in done.json()["sources"]}
    assert told["source.shop.raw.events"] == "error"


ON_MISSING = "select * from {{ source('raw', 'missing') }}"

AGE = {"loaded_at_field": "loaded_at", "freshness": {"error_after": {"count": 1, "period": "day"}}}


@pytest.mark.parametrize(
    ("files", "config", "sentence"),
    [
        ({}, "engine: {executable: ./nowhere}", "nowhere cannot be started (No such file or dir"),
        (
            {"models/broken.sql": "{% if %}"},
            "",
            "models/broken.sql",
        ),
        ({"profiles.yml": "other: {}"}, "", "Profile 'shop' not found"),
        (
            {"profiles.yml": "shop: {outputs: {ci: {type: duckdb}}}"},
            "",
            "target 'default' not found",
        ),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_runs(
    shop: Shop, files: dict[str, str], config: str, sentence: str
) -> None:
    shop.write({"models/fine.sql": "select 1 as id", **files})
    if config.startswith("engine"):
        (shop.dir / "dbtorch.yml").write_text(config)
    else:
        shop.configure(config)
    assert sentence in shop.refused("run")


def test_there_are_no_more_batches_than_moments_at_which_something_is_released(shop: Shop) -> None:
    sources = [f"landed_{number}" for number in range(4, 40, 4)]
    for number in range(40):
        before = f"ref('m{number - 1:02}')"
        if number % 4 == 0:
            before = f"source('raw', 'landed_{number}')" if number else "this"
        shop.write(
            {f"models/m{number:02}.sql": f"-- depends_on: {{{{ {before} }}}}\nselect 1 as id"}
        )
    tables = [{"name": name} for name in sources]
    shop.write({"models/raw.yml": json.dumps({"sources": [{"name": "raw", "tables": tables}]})})
    steps = {
        f"land_{moment}": {
            "command": f"until [ -f moment_{moment} ]; do sleep 0.1; done",
            "produces": [f"source:raw.{name}" for name in sources[moment::3]],
            "opens_database": False,
        }
        for moment in range(3)
    }
    shop.configure(json.dumps({"steps": steps})[1:-1])
    with shop.started("run", "--log-format", "json") as run:
        run.wait_for_node("model.shop.m03", "success")
        for moment, last in enumerate(("m31", "m35", "m39")):
            shop.write({f"moment_{moment}": ""})
            run.wait_for_node(f"model.shop.{last}", "success")
        assert run.ended().code == 0
    assert [len(batch) for batch in shop.batches()] == [4, 12, 12, 12]
    assert sum(shop.show().tries.values()) == 40 + len(steps)


def test_in_a_file_there_is_one_dbt_at_a_time(shop: Shop) -> None:
    slow(
        shop,
        "defaults: {retry: {delay: 0.1s}}",
        "  land: {command: 'until [ -f landed ]; do sleep 0.1; done',"
        " produces: ['source:raw.landed'], opens_database: false}",
    )
    shop.write(
        {
            "models/beside.sql": "-- depends_on: {{ source('raw', 'landed') }}\nselect 1 as id",
            "models/raw.yml": "sources: [{name: raw, tables: [{name: landed}]}]",
        }
    )
    with shop.started("run", "--log-format", "json") as run:
        run.wait_for_node(SLOW)
        run.wait_for_node("model.shop.quick", "success")
        shop.write({"landed": ""})
        run.wait_for_node("step.land", "success")
        # one is at work, and one has read the project for the next batch
        assert eventually(lambda: len(shop.dbts()) == 2)
        first, held = shop.dbts()
        assert (opens_database(first), opens_database(held)) == (True, False)
        set_slow(shop, slow=False)
        os.kill(first, signal.SIGKILL)
        assert run.ended().code == 0
    shown = shop.show()
    assert set(shown.states.values()) == {"success"}
    lost = shown.nodes["slow"]["attempts"][0]
    assert shown.nodes["beside"]["attempts"][0]["started_at"] >= lost["finished_at"]
    assert not list(shop.dir.glob(".dbtorch/runs/*/dbt/beside"))


def opens_database(pid: int) -> bool:
    """Whether a process has a DuckDB file open."""
    opened = (path.resolve() for path in Path(f"/proc/{pid}/fd").iterdir())
    return any(path.suffix == ".duckdb" for path in opened)


def test_what_would_be_given_to_dbt_is_planned_and_everything_is_looked_at(shop: Shop) -> None:
    shop.write(FILES)
    shop.configure(
        """
steps:
  load: {command: "true", opens_database: false}
  check: {command: "true", after: [other], opens_database: false}
"""
    )
    shop.write(
        {
            "models/alone.sql": "{{ config(meta={'dbtorch': {'pool': 'heavy'}}) }} select 1 as id",
            "models/behind.sql": "select * from {{ ref('alone') }}",
        }
    )
    with (shop.dir / "dbtorch.yml").open("a") as file:
        file.write("pools: {heavy: 1}\n")
    planned = shop.dbtorch("plan", "--format", "json").json()["batches"]
    names = [{id.split(".")[2] for id in batch} for batch in planned]
    assert sorted(map(len, names)) == [1, 1, 9]
    assert {"alone"} in names
    assert {"behind"} in names
    assert "Batches     3, of " in shop.dbtorch("plan").out
    findings = {one["check"]: one for one in shop.dbtorch("doctor", "--format", "json").json()}
    assert all(one["ok"] for one in findings.values())
    assert findings["engine"]["found"].startswith("process: ")
    assert "2.0" in findings["dbt"]["found"]
    assert "patches" not in findings  # dbt 2 needs none
    shop.write(
        {"profiles.yml": "shop: {outputs: {dev: {type: duckdb, path: no/such.db}}, target: dev}"}
    )
    said = shop.dbtorch("doctor", code=2).out
    assert "FAIL  connection" in said
    assert "Error" in said


def slow(shop: Shop, config: str = "", steps: str = "") -> None:
    """A project with a query that takes for ever."""
    shop.write({name: text for name, text in SLOW_FILES.items() if name != "dbtorch.yml"})
    shop.configure(
        f"""{config}
steps:
  publish: {{command: "echo published >> published.txt", after: [after_slow]}}
{steps}
"""
    )
    set_slow(shop, slow=True)


def test_a_run_is_planned_from_what_dbt_answered_last_time(shop: Shop) -> None:
    """And what dbt answers now is what counts."""
    shop.write(
        {
            "models/first.sql": "select 1 as id",
            "models/second.sql": "-- depends_on: {{ source('raw', 'loads') }}\nselect 1 as id",
            "models/raw.yml": "sources: [{name: raw, tables: [{name: loads}]}]",
        }
    )
    shop.configure(
        "steps: {fetch: {command: 'echo fetched >> fetched.txt', produces: 'source:raw.loads'}}"
    )
    shop.dbtorch("run")
    answer = kept_answer(shop)
    written = answer.read_bytes()
    shop.dbtorch("run")
    assert shop.show().states == {"fetch": "success", "first": "success", "second": "success"}
    folder = shop.dir / ".dbtorch" / "runs" / shop.show().id / "dbt"
    assert (
        folder / "held" / "1" / "run_results.json"
    ).is_file()  # it was told, and is a pipe no more
    assert not (folder / "listed").exists()  # and no other dbt has read the project
    assert answer.read_bytes() == written

    expect_another_answer(answer)
    assert "planned again" in shop.dbtorch("run").out
    assert shop.show().tries == {"fetch": 1, "first": 1, "second": 1}
    assert not answer.exists()  # it was planned again
    assert shop.lines("fetched.txt") == ["fetched"] * 3

    shop.write({"models/third.sql": "select id from {{ ref('second') }}"})
    shop.dbtorch("run")
    assert shop.show().states["third"] == "success"

    shop.write({"models/third.sql": "select {{ nothing("})
    assert "third" in shop.refused("run")
    assert [run["state"] for run in shop.runs()] == ["failed", *["success"] * 4]

    (shop.dir / "models" / "third.sql").unlink()
    settings = shop.dir / "dbtorch.yml"
    settings.write_text(settings.read_text().replace("/bin/dbt", "/bin/no-dbt"))
    assert "no-dbt cannot be started" in shop.refused("run")  # and no step has run
    assert shop.lines("fetched.txt") == ["fetched"] * 4


def test_what_no_build_has_confirmed_dbt_is_asked_at_the_end(shop: Shop) -> None:
    """And where it answers otherwise the run goes on with what is so."""
    shop.write(
        {
            "models/fetched.sql": "-- depends_on: {{ source('raw', 'loads') }}\nselect 1 as id",
            "models/raw.yml": "sources: [{name: raw, tables: [{name: loads}]}]",
        }
    )
    step = "steps: {{fetch: {{command: '{}', produces: 'source:raw.loads'}}}}"
    shop.configure(step.format("true"))
    shop.dbtorch("run")
    shop.configure(step.format("exit 99"))
    shop.dbtorch("run")
    assert shop.show().states == {"fetch": "skipped", "fetched": "skipped"}
    assert (shop.dir / ".dbtorch" / "runs" / shop.show().id / "dbt" / "listed").is_dir()

    expect_another_answer(kept_answer(shop))
    shop.dbtorch("run")
    assert shop.show().states == {"fetch": "skipped", "fetched": "skipped"}
    assert not shop.batches()


@pytest.mark.parametrize("answers_otherwise", [False, True])
def test_a_run_that_went_ahead_and_was_killed_goes_on(shop: Shop, answers_otherwise: bool) -> None:
    """Nobody has confirmed by then that dbt still answers the same."""
    slow(shop, "defaults: {retries: 0}")
    set_slow(shop, slow=False)
    shop.dbtorch("run")
    if answers_otherwise:
        expect_another_answer(kept_answer(shop))
    set_slow(shop, slow=True)
    with shop.started("run", "--log-format", "json") as run:
        run.wait_for_node("model.shop.quick", "success")
        run.wait_for_node(SLOW)
        os.kill(run.pid, signal.SIGKILL)
    assert eventually(shop.is_quiet)
    killed = shop.show()
    folder = shop.dir / ".dbtorch" / "runs" / killed.id / "dbt"
    assert not (folder / "listed").exists()  # so it had gone ahead
    set_slow(shop, slow=False)
    shop.dbtorch("retry")
    shown = shop.show()
    assert (shown.id, shown.state) == (killed.id, "success")
    assert (shown.tries["quick"], shown.tries["slow"]) == (1, 2)
    assert set(shop.results()) == {"model.shop.quick", SLOW, "model.shop.after_slow"}
    assert len(shop.lines("published.txt")) == 2
