"""Commands that run nothing: plan, graph, validate, doctor, init, runs, show, logs, help."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.acceptance.workspace import COMMAND, Done, Shown, Workspace

COMMANDS = (
    *("run", "plan", "retry", "runs", "show", "logs"),
    *("report", "ui"),
    *("freshness", "graph", "init", "validate", "doctor"),
)

FILES = {
    "dbtorch.yml": """
        defaults: {retry: {retries: 1, delay: 0s}, timeout: 10m, owner: data-eng}
        steps:
          load:
            command: "echo loading; [ $DBTORCH_ATTEMPT -ge 2 ] || { echo try again later; exit 75; }"
            produces: source:raw.orders
            owner: Ann
          push: {command: "true", after: exposure:board}
    """,
    "models/orders.sql": "select 1 as id -- depends_on: {{ source('raw', 'orders') }}",
    "models/broken.sql": "select nosuch from {{ ref('orders') }}",
    "models/blocked.sql": "select * from {{ ref('broken') }}",
    "models/schema.yml": """
        sources:
          - {name: raw, tables: [{name: orders}]}
        models:
          - {name: orders, columns: [{name: id, data_tests: [unique, not_null]}]}
        exposures:
          - name: board
            type: dashboard
            owner: {name: BI, email: bi@example.com}
            depends_on: [ref('orders')]
    """,
}

NODES = {
    *("load", "push", "orders", "broken", "blocked", "board"),
    *("unique_orders_id", "not_null_orders_id"),
}


@dataclass(frozen=True, kw_only=True)
class Tour:
    workspace: Workspace
    before: dict[str, Done]  # what was looked at before the first run
    untouched: bool  # after that, neither warehouse nor history were there
    done: Done  # a run that fails
    run: Shown


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """Look at everything, then run."""
    workspace = Workspace(tmp_path_factory.mktemp("reading") / "shop", FILES)
    before = {
        "plan": workspace.dbtorch("plan"),
        "plan json": workspace.dbtorch("plan", "--format", "json"),
        "graph json": workspace.dbtorch("graph", "--format", "json"),
        "graph of a step": workspace.dbtorch(
            *("graph", "--select", "step:load+", "--format", "mermaid")
        ),
        "validate": workspace.dbtorch("validate", "--exclude", "step:push"),
        "validate nothing": workspace.dbtorch("validate", "--select", "step:pull", code=2),
    }
    left = [workspace.dir / name for name in ("warehouse.duckdb", ".dbtorch")]
    untouched = not any(path.exists() for path in left)
    # opening a connection is what it is for, and makes an empty warehouse
    before["doctor"] = workspace.dbtorch("doctor")
    (workspace.dir / "run.html").write_text("of an earlier run")
    done = workspace.dbtorch("run", "--log-format", "json", "--report", "run.html", code=1)
    return Tour(
        workspace=workspace, before=before, untouched=untouched, done=done, run=workspace.show()
    )


# ---------------------------------------------------------------------------- before a run


def test_who_owns_what_nobody_claims_is_named_with_its_failure(tour: Tour) -> None:
    assert tour.run.nodes["broken"]["owner"] == "data-eng"
    assert '"owner": "data-eng"' in tour.done.out  # as it fails
    assert "owner data-eng" in tour.workspace.dbtorch("show", tour.run.id).out


def test_looking_runs_nothing(tour: Tour) -> None:
    assert tour.untouched


def test_a_plan_says_what_runs_in_which_order_and_why(tour: Tour) -> None:
    said = tour.before["plan"].out
    head, *rows = said.splitlines()
    assert head.split() == ["#", "STARTS", "TAKES", "NODE", "WHY", "HOW"]
    order = [row.split()[4] for row in rows[: len(NODES)]]
    assert set(order) == NODES
    assert order[0] == "load"
    assert order.index("orders") < order.index("broken") < order.index("blocked")
    assert order.index("board") < order.index("push")
    assert "8 nodes: 3 models, 2 steps, 2 tests, 1 exposure" in said
    assert "Estimated" in said
    assert "Critical" in said


def test_a_plan_as_json(tour: Tour) -> None:
    said = tour.before["plan json"].json()
    nodes = {node["id"]: node for node in said["nodes"]}
    assert [node["order"] for node in said["nodes"]] == list(range(1, 9))
    assert nodes["model.shop.orders"]["after"] == ["step.load"]
    assert nodes["step.load"]["timeout"] == 600
    assert set(said["critical_path"]) <= nodes.keys()
    assert said["estimated_seconds"] >= said["critical_path_seconds"] > 0


def test_steps_are_selected_in_the_graph_and_to_validate(tour: Tour) -> None:
    said = tour.before["graph of a step"].out
    assert said.startswith("flowchart LR\n")  # tests/unit/test_render_graph.py has all formats
    assert all(name in said for name in ("load", "orders", "broken"))
    assert "push" not in said
    assert "step:pull" in tour.before["validate nothing"].err


def test_the_graph_as_json_has_every_node_and_edge(tour: Tour) -> None:
    said = tour.before["graph json"].json()
    assert {node["name"] for node in said["nodes"]} == NODES
    edges = {
        tuple(edge.values()) if isinstance(edge, dict) else tuple(edge) for edge in said["edges"]
    }
    assert ("step.load", "model.shop.orders") in edges
    assert ("model.shop.broken", "model.shop.blocked") in edges


def test_validate_says_what_it_has_looked_at(tour: Tour) -> None:
    assert tour.before["validate"].out == (
        "OK: 6 dbt nodes and 1 step on target dev (duckdb 1.11.1), 3 findings"
        " (`dbtorch ci --lint` lists them)\n"
    ).replace("duckdb 1.11.1", _adapter(tour))


def test_doctor_finds_everything_in_order(tour: Tour) -> None:
    lines = tour.before["doctor"].out.splitlines()
    checks = [line.split()[1] for line in lines]
    assert checks == [
        *("dbtorch", "project", "dbtorch.yml", "engine", "environment", "interpreter", "dbt"),
        *("patches", "connection", "parse", "history", "permissions", "logs", "artifacts"),
    ]
    assert all(line.startswith("ok ") for line in lines)


@pytest.mark.parametrize(
    ("files", "args", "wrong"),
    [
        # dbtorch.yml is wrong: where, and what
        ({"dbtorch.yml": "stepps: {}\n"}, [], {"project": "dbtorch.yml:1"}),
        # the interpreter is not there
        ({"dbtorch.yml": "engine: {python: bin/nope}\n"}, [], {"interpreter": "engine.python"}),
        # the profile has no such target, and something is in the history's way
        (
            {".dbtorch": "in the way"},
            ["--target", "prod"],
            {"connection": "prod", "history": ".dbtorch", "permissions": ".dbtorch"},
        ),
        # the warehouse cannot be reached, packages were never installed, the history is none
        (
            {
                "profiles.yml": """
                    shop:
                      target: dev
                      outputs: {dev: {type: duckdb, path: /proc/nowhere/w.duckdb}}
                """,
                "packages.yml": "packages: [{package: dbt-labs/dbt_utils, version: 1.3.0}]",
                ".dbtorch/dbtorch.db": "no database " * 100,
            },
            [],
            {
                "connection": "/proc/nowhere/w.duckdb",
                "packages": "packages.yml names 1 package, dbt_packages has 0",
                "history": "dbtorch.db",
            },
        ),
        # dbt cannot read the project, the history is on a server that is not there
        (
            {"models/orders.sql": "select * from {{ ref('nosuch') }}"},
            ["--database-url", "postgresql://ann:hunter2@127.0.0.1:1/runs"],
            {"parse": "'nosuch'", "history": "postgresql://ann@127.0.0.1:1/runs"},
        ),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(
    workspace: Workspace, files: dict[str, str], args: list[str], wrong: dict[str, str]
) -> None:
    workspace.write({"models/orders.sql": "select 1 as id", **files})
    done = workspace.dbtorch("doctor", *args, code=2)
    lines = done.out.splitlines()
    failed = {
        line.split()[1]: "".join(lines[place : place + 2])
        for place, line in enumerate(lines)
        if line.startswith("FAIL")
    }
    for check, said in wrong.items():
        assert said in failed[check], done.out
        assert "-> " in failed[check]
    assert failed.keys() == wrong.keys(), done.out
    assert "hunter2" not in done.all


def test_doctor_without_a_project(tmp_path: Path) -> None:
    done = Workspace(tmp_path / "empty", bare=True).dbtorch("doctor", code=2)
    assert "FAIL  project" in done.out


# ---------------------------------------------------------------------------- after a run


def test_every_line_of_a_json_log_is_an_object(tour: Tour) -> None:
    events = [json.loads(line) for line in tour.done.out.splitlines()]
    assert {event["run_id"] for event in events} == {tour.run.id}
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_finished"
    assert events[-1]["state"] == "failed"
    assert [one["node_id"] for one in events[-1]["failures"]] == ["model.shop.broken"]
    finals = [e for e in tour.done.events("node") if e["state"] in ("success", "failed")]
    assert {e["node_id"] for e in finals} >= {"step.load", "model.shop.orders"}
    (again,) = [e for e in tour.done.events("node") if e["state"] == "up_for_retry"]
    assert again["node_id"] == "step.load"
    assert again["failure_class"] == "transient"


def test_show_tells_of_failures_and_retries(tour: Tour) -> None:
    said = tour.workspace.dbtorch("show").out
    for part in (
        f"Run {tour.run.id}  failed",
        "1 failed, 1 upstream failed, 6 success",
        "model broken",
        'Referenced column "nosuch" not found',
        "owner Ann",
        "attempt 1  failed",
        "attempt 2  success",
    ):
        assert part in said, said


@pytest.mark.parametrize(
    "text",
    [
        "latest",  # the newest
        "{id}",  # all of it
        "{start}",  # its beginning
    ],
)
def test_a_run_is_found_by(tour: Tour, text: str) -> None:
    asked = text.format(id=tour.run.id, start=tour.run.id[:12])
    said = tour.workspace.dbtorch("show", asked, "--format", "json").json()
    assert said["run_id"] == tour.run.id


@pytest.mark.parametrize(
    ("args", "said"),
    [
        # the last attempt, by name
        (["load"], ["attempt 2 of 2, success", "loading\n"]),
        # another one
        (["load", "--attempt", "1"], ["attempt 1 of 2, failed", "try again later"]),
        # dbt's own words, by id
        (["model.shop.broken"], ["attempt 1 of 1, failed", "nosuch", "Binder Error"]),
        # a step that prints nothing
        (["push"], ["attempt 1 of 1, success"]),
    ],
)
def test_logs(tour: Tour, args: list[str], said: list[str]) -> None:
    out = tour.workspace.dbtorch("logs", *args).out  # of the latest run
    assert all(part in out for part in said), out
    told = tour.workspace.dbtorch("logs", "latest", *args, "--format", "json").json()
    assert Path(told["path"]).is_file()
    assert told["attempt"]["number"] >= 1


def test_a_report_is_written_at_the_end_of_a_run_and_later(tour: Tour) -> None:
    page = (tour.workspace.dir / "run.html").read_text()
    assert "of an earlier run" not in page
    assert f"failed · {tour.run.id}" in page
    assert "try again later" in page  # the log of the attempt that failed
    done = tour.workspace.dbtorch("report")
    assert done.out.startswith(f"{tour.run.id}.html written (")
    later = (tour.workspace.dir / f"{tour.run.id}.html").read_text()
    assert [text.count('"id": "model.') for text in (page, later)] == [3, 3]
    done = tour.workspace.dbtorch("report", "-o", "no/such/run.html", code=2)
    assert "the report no/such/run.html cannot be written: No such file" in done.all


def test_the_ui_answers_until_a_signal_comes(tour: Tour) -> None:
    workspace = tour.workspace
    with workspace.started("ui", "--port", "0") as ui:
        url = ui.wait_for("http://127.0.0.1:", "shows shop").split()[0]
        with urllib.request.urlopen(f"{url}runs/{tour.run.id}") as answer:
            assert f"failed · {tour.run.id}" in answer.read().decode()
        with urllib.request.urlopen(f"{url}api/v1/runs/latest") as answer:
            assert json.load(answer) == workspace.show().said
        taken = workspace.dbtorch("ui", "--port", url.split(":")[2].strip("/"), code=2)
        assert "Address already in use): choose another --port" in taken.all
        ui.signal(signal.SIGTERM)
        assert ui.ended().code == 0
    with workspace.started("ui", "--port", "0", "--host", "0.0.0.0") as ui:
        said = ui.wait_for("http://localhost:", "/token#token=").split()[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(said.partition("token#")[0])
        ui.signal(signal.SIGINT)
        assert ui.ended().code == 0


def test_logs_of_a_run_and_no_node_say_what_is_missing(tour: Tour) -> None:
    said = tour.workspace.refused("logs", "latest")
    assert said == "latest is a run: name a node of it, too; `dbtorch show latest` has them"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        # a run that is not there
        ("show 1999", "there is no run '1999'; `dbtorch runs` lists them"),
        ("retry 1999", "there is no run '1999'; `dbtorch runs` lists them"),
        ("logs 1999 orders", "there is no run '1999'; `dbtorch runs` lists them"),
        # a node that is not, and one that is nearly called that
        ("logs latest order", "has no node 'order'; did you mean orders"),
        # an attempt that was not made
        ("logs latest orders --attempt 7", "has no attempt 7"),
        # a node that never started, and why
        ("logs latest blocked", "was never started in run"),
        # words that are missing
        ("logs latest", "latest is a run: name a node of it"),
        ("show --format xml", "'xml' is not one of 'text', 'json'"),
        ("shwo", "there is no command 'shwo'; did you mean \"show\"?"),
    ],
)
def test_what_is_not_there(tour: Tour, command: str, said: str) -> None:
    done = tour.workspace.dbtorch(*shlex.split(command), code=2)
    assert said in done.err
    assert done.err.count("Error: ") == 1
    assert not done.out


def test_runs_lists_the_run(tour: Tour) -> None:
    (run,) = tour.workspace.dbtorch("runs", "--format", "json").json()
    assert run["run_id"] == tour.run.id
    assert run["counts"] == {"failed": 1, "upstream_failed": 1, "success": 6}
    said = tour.workspace.dbtorch("runs", "--limit", "1").out
    assert f"{tour.run.id}  default" in said
    said = tour.workspace.refused("runs", "-p", "nope")
    assert "has no pipeline 'nope'; it has: default" in said


def test_before_the_first_run_there_is_nothing_to_show(workspace: Workspace) -> None:
    for command in ("runs", "show", "logs latest orders"):
        done = workspace.dbtorch(*shlex.split(command), code=2)
        assert "there is no run history yet" in done.err
        assert "`dbtorch run` writes one" in done.err


@pytest.mark.parametrize("command", ["show", "runs", "logs latest broken", "--help", "run --help"])
def test_a_pipe_that_is_closed_early_is_no_error(tour: Tour, command: str) -> None:
    line = f"{shlex.join(COMMAND)} {command} | head -1"
    done = _shell(tour.workspace, line)
    assert len(done.out.splitlines()) == 1
    assert done.err == ""


def test_a_run_goes_on_when_nobody_reads_it_any_more(workspace: Workspace) -> None:
    workspace.write({"models/orders.sql": "select 1 as id"})
    with subprocess.Popen(
        [*COMMAND, "run"],
        cwd=workspace.dir,
        env=workspace.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert b"START" in run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert workspace.show().states == {"orders": "success"}


# ---------------------------------------------------------------------------- init


def test_init_writes_what_loads_and_runs(workspace: Workspace) -> None:
    workspace.write({**FILES, "models/broken.sql": "select 1 as nosuch", ".gitignore": "target/\n"})
    (workspace.dir / "dbtorch.yml").unlink()
    done = workspace.dbtorch("init")
    assert "Wrote dbtorch.yml for the project shop." in done.out
    written = (workspace.dir / "dbtorch.yml").read_text()
    assert yaml.safe_load(written) == {"version": 1}
    assert "source:raw" in written  # an example made of this very project
    assert workspace.lines(".gitignore") == ["target/", ".dbtorch/"]
    workspace.dbtorch("run")
    assert workspace.show().state == "success"

    assert "--force replaces it" in workspace.dbtorch("init", code=2).all
    assert "Replaced dbtorch.yml" in workspace.dbtorch("init", "--force").out


def test_init_without_a_project(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "empty", bare=True)
    assert "is no dbt project" in workspace.refused("init")


# ---------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    said = Workspace(tmp_path / "empty", bare=True).dbtorch(command, "--help").out
    assert said.startswith(f"Usage: dbtorch {command} [OPTIONS]")
    assert "--project-dir" in said


def test_help_lists_the_commands_and_version_says_which(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "empty", bare=True)
    said = workspace.dbtorch("--help").out
    assert all(f"\n  {command} " in said for command in COMMANDS)
    assert workspace.dbtorch("--version").out.startswith("dbtorch 0.")


# ---------------------------------------------------------------------------- details


def _shell(workspace: Workspace, line: str) -> Done:
    ended = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=workspace.dir,
        env=workspace.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(ended.returncode, ended.stdout, ended.stderr)


def _adapter(tour: Tour) -> str:
    return str(tour.run.said["adapter"])
