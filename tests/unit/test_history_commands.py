"""`dbtorch runs`, `show` and `logs` over an in-memory history."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.cli.text.colour import Colours
from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.model.deadline import Deadline
from dbtorch.core.model.events import Attempt, Finished, Outcome
from dbtorch.core.model.measure import Measure
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.service.history.log_text import LogText, end_of
from dbtorch.testing import SUCCEEDS, FixedClock
from dbtorch.testing.store import MemoryStore
from tests.stores import a_run
from tests.unit.printed import logs, runs, show
from tests.unit.story import LOST, NOON, Told, broken_shop, model, plan

FULL = {"zone": UTC, "clock": FixedClock(NOON + timedelta(hours=2))}


def said(command, *args, **more):
    """What a command printed."""
    lines = []
    assert command(*args, echo=lines.append, **more) == 0
    return "\n".join(lines)


@pytest.fixture
def history():
    """Three runs: one green, one red, and one whose process is gone."""
    store = MemoryStore()
    Told(store=store, run_id="20260301T100000Z-aa1111", started_at=NOON - timedelta(hours=2))
    broken_shop(store=store, run_id="20260301T110000Z-bb2222", started_at=NOON - timedelta(hours=1))
    Told(
        seconds={"step.ingest_orders": [100.0]},
        until=NOON + timedelta(seconds=5),
        store=store,
        run_id="20260301T120000Z-bb3333",
        pipeline="hourly",
    )
    return store


# ---------------------------------------------------------------- runs


def test_a_run_takes_what_its_executions_take():
    """Ten minutes before a pause of 45 minutes, and five after it."""
    store = MemoryStore()
    run = a_run("20260301T110000Z-bb2222", started_at=NOON - timedelta(hours=1))
    store.begin(run, [])
    store.end(run.run_id, RunState.FAILED, NOON - timedelta(minutes=50))
    before = store.run(run.run_id).seconds_at_work
    assert before == 600
    resumed = replace(run, resumed_at=NOON - timedelta(minutes=5), seconds_before=before)
    store.begin(resumed, [])
    assert resumed.seconds_paused == 45 * 60
    assert "15m" not in said(runs, store, **FULL)
    store.end(run.run_id, RunState.SUCCESS, NOON)
    assert " 15m 00s  " in said(runs, store, **FULL)
    assert "took 15m 00s" in said(show, store, run.run_id, **FULL)
    (listed,) = json.loads(said(runs, store, format="json", **FULL))
    assert listed["seconds"] == 900


def test_runs_are_listed_newest_first(history):
    assert said(runs, history, **FULL).splitlines() == [
        "RUN                      PIPELINE  TARGET  TRIGGER  STATE        STARTED                           TOOK  NODES",
        "20260301T120000Z-bb3333  hourly    dev     manual   interrupted  2026-03-01 12:00:00 UTC  2h ago      -  1 failed, 2 success, 6 pending",
        "20260301T110000Z-bb2222  daily     dev     manual   failed       2026-03-01 11:00:00 UTC  3h ago  11.5s  1 failed, 3 upstream failed, 1 warn, 4 success",
        "20260301T100000Z-aa1111  daily     dev     manual   success      2026-03-01 10:00:00 UTC  4h ago  8.00s  9 success",
    ]


def test_a_run_that_somebody_drives_is_running(history):
    text = said(runs, history, limit=1, is_alive=lambda run: True, **FULL)
    assert " running " in text
    assert "2h 00m" in text  # so far


def test_runs_can_be_narrowed(history):
    assert "bb3333" not in said(runs, history, pipeline="daily", **FULL)
    assert len(said(runs, history, state=RunState.FAILED, **FULL).splitlines()) == 2
    assert said(runs, history, pipeline="none", **FULL) == "No run has been recorded like that"
    assert "`dbtorch run` makes one" in said(runs, MemoryStore(), **FULL)


def test_runs_as_json(history):
    found = json.loads(said(runs, history, format="json", **FULL))
    assert [run["state"] for run in found] == ["interrupted", "failed", "success"]
    assert found[1]["counts"] == {"success": 4, "warn": 1, "failed": 1, "upstream_failed": 3}
    assert found[2]["seconds"] == 8.0
    assert json.loads(said(runs, MemoryStore(), format="json", **FULL)) == []


def test_colours_do_not_move_columns(history):
    plain = said(runs, history, colours=Colours(wanted=False), **FULL)
    painted = said(runs, history, colours=Colours(wanted=True), **FULL)
    assert "\x1b[31m" in painted

    assert re.sub(r"\x1b\[\d+m", "", painted) == plain


# ---------------------------------------------------------------- show


def test_show_tells_header_nodes_and_attempts(history):
    text = said(show, history, "20260301T11", **FULL)
    assert text.splitlines()[0] == "Run 20260301T110000Z-bb2222  failed"
    assert "  command    dbtorch run --project-dir 'my shop'" in text
    assert "  nodes      1 failed, 3 upstream failed, 1 warn, 4 success" in text
    assert (
        'model fct_orders      failed                  1  2.50s        Binder Error: column "'
        in text
    )
    assert (
        "attempt 1  failed  2026-03-01 11:00:00 UTC  1.00s  transient\n      connection lost"
        in text
    )
    assert "owner ana, group finance, runbook docs/fct.md" in text
    assert "session" not in text


def test_a_session_that_did_not_open_is_shown_apart():
    store = Told({"session.open": [LOST, LOST]}).store
    text = said(show, store, "latest", **FULL)
    assert "dbt session  session.open\n  attempt 1  failed" in text
    assert "the dbt session failed" in text


def test_an_interrupted_run_says_how_to_go_on(history):
    text = said(show, history, "latest", **FULL)
    assert text.splitlines()[0] == "Run 20260301T120000Z-bb3333  interrupted"
    assert "`dbtorch retry 20260301T120000Z-bb3333` goes on where it stopped" in text


def test_a_long_run_shows_trouble_unless_all_is_asked_for():
    nodes = [model(f"m{i}") for i in range(200)]
    told = Told({nodes[7].id: [LOST]}, a_plan=plan(nodes, []))
    text = said(show, told.store, "latest", **FULL)
    assert "model m7 " in text
    assert "model m8 " not in text
    assert "199 nodes without trouble not shown; --all shows all" in text
    assert "model m8 " in said(show, told.store, "latest", all_nodes=True, **FULL)


def test_show_says_when_a_table_has_unusually_many_rows_or_few():
    nodes = [model(f"m{i}") for i in range(70)]
    store = MemoryStore()
    for day, rows in enumerate((12_003, 11_950, 12_400, 0)):
        measures = (Measure(name="row_count", number=rows),)
        wrote = Outcome(state=State.SUCCESS, measures=measures)
        plain = Outcome(state=State.SUCCESS, measures=measures[:0], rows_affected=5)
        Told(
            {nodes[7].id: [wrote], nodes[8].id: [plain]},
            a_plan=plan(nodes, []),
            store=store,
            run_id=f"run{day}",
            started_at=NOON + timedelta(days=day),
        )
    line = next(x for x in said(show, store, "run3", **FULL).splitlines() if "model m7 " in x)
    assert line.endswith("    0  usually about 12,000")
    assert "model m8 " not in said(show, store, "run3", **FULL)
    assert "model m7 " not in said(show, store, "run2", **FULL)  # as many as always
    line = said(show, store, "run0", all_nodes=True, **FULL)
    assert "12003" in line
    assert "usually" not in line
    found = json.loads(said(show, store, "run3", format="json", **FULL))
    by_name = {node["name"]: (node["rows"], node["usual_rows"]) for node in found["nodes"]}
    assert (by_name["m7"], by_name["m8"]) == ((0, 12_003), (None, None))


def test_passwords_of_a_command_are_not_shown():
    secret = ("dbtorch", "run", "--database-url", "postgresql://me:secret@db/x")
    store = Told(command=secret).store
    for format in ("text", "json"):
        text = said(show, store, "latest", format=format, **FULL)
        assert "secret" not in text
        assert "postgresql://***@db/x" in text


def test_show_as_json_has_the_promised_shape(history):
    found = json.loads(said(show, history, "20260301T11", format="json", **FULL))
    promised = {"run_id", "pipeline", "logical_date", "state", "started_at", "finished_at", "nodes"}
    assert promised <= found.keys()
    assert found["started_at"] == "2026-03-01T11:00:00+00:00"
    assert [node["id"] for node in found["session"]] == ["session.open", "session.close"]
    nodes = {node["id"]: node for node in found["nodes"]}
    assert len(nodes) == 9
    failed = nodes["model.shop.fct_orders"]
    assert {"id", "kind", "state", "reason", "attempts"} <= failed.keys()
    (attempt,) = failed["attempts"]
    assert {
        "number",
        "state",
        "started_at",
        "finished_at",
        "failure_class",
        "message",
    } <= attempt.keys()
    assert (attempt["state"], attempt["failure_class"]) == ("failed", "code")
    assert nodes["model.shop.fct_kpis"]["attempts"] == []
    retried = nodes["step.ingest_rates"]["attempts"]
    assert [(a["number"], a["state"]) for a in retried] == [(1, "failed"), (2, "success")]
    assert retried[1]["failure_class"] is retried[1]["message"] is None


def test_what_has_not_happened_is_null(history):
    alive = {"is_alive": lambda run: True}
    found = json.loads(said(show, history, "latest", format="json", **alive, **FULL))
    assert (found["state"], found["finished_at"]) == ("running", None)
    attempt = found["nodes"][0]["attempts"][0]
    assert (attempt["state"], attempt["finished_at"]) == ("running", None)


def test_nothing_runs_in_a_run_that_nobody_drives(history):
    found = json.loads(said(show, history, "latest", format="json", **FULL))
    assert (found["state"], found["finished_at"]) == ("interrupted", None)
    node = found["nodes"][0]
    (attempt,) = node["attempts"]
    assert (node["state"], attempt["state"]) == ("failed", "failed")
    assert attempt["failure_class"] == "transient"
    assert attempt["message"].startswith("lost: the process of the run")
    assert attempt["finished_at"]  # the last sign of life
    assert "running" not in said(show, history, "latest", all_nodes=True, **FULL)


def test_what_people_did_is_shown_with_who_and_why(history):
    run_id = "20260301T110000Z-bb2222"
    asked = {"at": NOON, "actor": "ana@desk", "reason": "too slow"}
    history.act(run_id, Action(action=Verb.CANCEL, handled_at=NOON, **asked))
    history.act(run_id, Action(action=Verb.CANCEL, node_id="model.shop.stg_orders", **asked))
    text = said(show, history, run_id, **FULL)
    assert text.endswith(
        "by hand\n"
        "  2026-03-01 12:00:00 UTC  cancel by ana@desk: too slow\n"
        "  2026-03-01 12:00:00 UTC  cancel model.shop.stg_orders by ana@desk: too slow"
        " (without effect)"
    )
    first, second = json.loads(said(show, history, run_id, format="json", **FULL))["actions"]
    assert first == {
        "action": "cancel",
        "at": "2026-03-01T12:00:00+00:00",
        "actor": "ana@desk",
        "node_id": None,
        "state": None,
        "reason": "too slow",
        "handled_at": "2026-03-01T12:00:00+00:00",
    }
    assert (second["node_id"], second["handled_at"]) == ("model.shop.stg_orders", None)


@pytest.mark.parametrize(
    ("seconds", "said_of_it"),
    [
        (5, "2026-03-01 12:00:05 UTC, missed by 3.00s"),
        (60, "2026-03-01 12:01:00 UTC\n"),
    ],
)
def test_a_missed_deadline_is_shown(seconds, said_of_it):
    deadline = Deadline(at=NOON + timedelta(seconds=seconds))
    store = Told(options=deadline.record()).store  # takes 8 seconds
    assert f"  deadline   {said_of_it}" in said(show, store, "latest", **FULL)
    found = json.loads(said(show, store, "latest", format="json", **FULL))
    assert found["deadline"] == deadline.at.isoformat()
    assert found["deadline_missed"] is (seconds < 8)


# ---------------------------------------------------------------- logs


@pytest.fixture
def shop(tmp_path):
    """A red run with logs on disk."""
    told = broken_shop(run_id="r1")
    files = RunFiles(tmp_path / ".dbtorch", "r1")
    files.log(Attempt("step.ingest_rates", 1)).write_text("calling\nlost it\n")
    files.log(Attempt("step.ingest_rates", 2)).write_text("calling\nthere\n")
    files.log(Attempt("model.shop.stg_orders", 1)).write_bytes(b"caf\xe9\n")
    return told.store, tmp_path


def test_logs_are_those_of_the_last_attempt(shop):
    store, folder = shop
    heading, *lines = said(logs, store, "latest", "ingest_rates", project_dir=folder).splitlines()
    assert heading.startswith("# step.ingest_rates, attempt 2 of 2, success, 1.00s, ")
    assert lines == ["calling", "there"]


def test_logs_of_an_earlier_attempt(shop):
    store, folder = shop
    text = said(logs, store, "latest", "step.ingest_rates", attempt=1, project_dir=folder)
    assert text.splitlines()[1:] == ["calling", "lost it"]


def test_a_log_that_is_no_text_is_shown_all_the_same(shop):
    store, folder = shop
    assert said(logs, store, "r1", "stg_orders", project_dir=folder).endswith("caf\ufffd")


def test_without_a_log_the_history_says_what_it_knows(shop):
    store, folder = shop
    text = said(logs, store, "r1", "fct_orders", project_dir=folder)
    assert "# the log is not on this machine\n" in text
    assert "Binder Error" in text
    assert not (folder / ".dbtorch/runs/r1/nodes/model.shop.fct_orders.1.log").exists()


def test_without_a_log_it_is_said_where_dbts_own_output_is(shop):
    store, folder = shop
    output = folder / ".dbtorch" / "runs" / "r1" / "dbt.log"
    output.write_text("Found 3 models\n")
    text = said(logs, store, "r1", "fct_orders", project_dir=folder)
    assert f"not on this machine; dbt's own output is in {output}\n" in text


def test_logs_as_json(shop):
    store, folder = shop
    found = json.loads(said(logs, store, "r1", "ingest_rates", project_dir=folder, format="json"))
    assert found["log"] == "calling\nthere"
    assert (found["run_id"], found["node_id"]) == ("r1", "step.ingest_rates")
    assert found["attempt"]["number"] == 2


@pytest.mark.parametrize(
    ("node", "attempt", "sentence"),
    [
        ("fct_order", None, "run r1 has no node 'fct_order'; did you mean fct_orders"),
        ("zzz", None, "run r1 has no node 'zzz'; `dbtorch show r1 --all` lists its nodes"),
        # no word of it, only a part of one
        ("orders", None, "run r1 has no node 'orders'; did you mean stg_orders"),
        ("ingest_rates", 3, "step.ingest_rates has no attempt 3 in run r1; it has 1, 2"),
        (
            "fct_kpis",
            None,
            "model.shop.fct_kpis was never started in run r1 "
            "(upstream_failed: model.shop.fct_orders failed)",
        ),
    ],
)
def test_what_has_no_log_is_one_sentence(shop, node, attempt, sentence):
    store, folder = shop
    with pytest.raises(UsageError) as raised:
        logs(store, "r1", node, attempt=attempt, project_dir=folder, echo=print)
    assert sentence in str(raised.value)


# ---------------------------------------------------------------- at once

_HEAVY = ("rich", "jinja2", "dbt", "msgspec", "yaml", "click", "sqlite3", "socket")


def test_reading_the_history_imports_nothing_heavy():
    code = "import sys, dbtorch.cli.text.run, dbtorch.cli.text.runs, dbtorch.cli.text.log; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(_HEAVY) & set(done.stdout.split())


def test_a_skipped_node_tells_why_in_the_table():
    off = Outcome(state=State.SKIPPED, message="when: no URL is set")
    text = said(show, Told({"step.export_kpis": [off]}).store, "latest", **FULL)
    assert "when: no URL is set" in text


# ---------------------------------------------------------------- large, and under way


def test_a_log_is_read_in_pieces_and_a_long_line_is_broken(tmp_path):
    path = tmp_path / "node.log"
    with path.open("wb") as file:
        file.write(b"first\n" + b"x" * 3_000_000 + "\u20ac".encode() + b"\nlast")
    pieces = list(LogText(path).last())
    assert max(map(len, pieces)) < 600_000
    text = "\n".join(pieces)
    assert max(map(len, text.split("\n"))) <= 1 << 16
    assert text.startswith("first\nx")
    assert text.endswith("x\u20ac\nlast")
    assert text.count("x") == 3_000_000


def test_json_has_the_end_of_a_log_that_is_too_large_for_it(tmp_path):
    path = tmp_path / "node.log"
    path.write_text("beginning\n" + "x" * 100 + "\nend\n")
    assert end_of(path, most=10) == ("xxxxx\nend\n", 105)
    assert end_of(tmp_path / "none", most=10) == ("", 0)


def test_a_log_is_followed_until_its_attempt_has_ended(tmp_path):
    until = NOON + timedelta(seconds=5)
    told = Told(seconds={"step.ingest_orders": [100.0]}, until=until, run_id="r1")
    attempt = Attempt("step.ingest_orders", 1)
    path = RunFiles(tmp_path / ".dbtorch", "r1").path("step.ingest_orders", 1)
    path.parent.mkdir(parents=True)
    path.write_text("one\n")
    more = iter(("two\nhal", "f\n", ""))

    def pause(_):
        added = next(more)
        with path.open("a") as file:
            file.write(added)
        if not added:
            ended = told.run.record(Finished(attempt, SUCCEEDS), until)
            told.store.record("r1", ended)
            with path.open("a") as file:
                file.write("last words")

    lines = []
    code = logs(
        told.store,
        "r1",
        "ingest_orders",
        project_dir=tmp_path,
        follow=True,
        echo=lines.append,
        is_alive=lambda run: True,
        pause=pause,
    )
    assert code == 0
    assert "\n".join(lines[1:]).split("\n") == ["one", "two", "half", "last words"]
    assert next(more, None) is None


def test_nobody_waits_for_a_run_that_nobody_drives(history, tmp_path):
    """Neither for a node that never starts, nor for an attempt whose process is gone."""

    def pause(_):
        raise AssertionError("it waits")

    follow = {"project_dir": tmp_path, "follow": True, "echo": print, "pause": pause}
    with pytest.raises(UsageError, match="was never started"):
        logs(history, "latest", "stg_orders", is_alive=lambda run: False, **follow)
    assert logs(history, "latest", "ingest_orders", is_alive=lambda run: False, **follow) == 0


def test_a_huge_message_is_cut_once_and_says_so():
    huge = "Database Error\n" + "a" * 2_000_000 + "\nthe end"
    failed = Outcome(state=State.FAILED, message=huge, failure_class=FailureClass.CODE)
    told = Told({"model.shop.fct_orders": [failed]})
    (node,) = [node for node in told.kept().nodes if node.id == "model.shop.fct_orders"]
    (attempt,) = node.attempts
    assert attempt.message.startswith("Database Error\naaaa")
    assert "\n... 1,990,023 characters are left out, the log has them ...\n" in attempt.message
    assert attempt.message.endswith("a\nthe end")
    written = said(show, told.store, "latest", format="json", **FULL)
    assert len(written) < 40_000
    assert written.count("characters are left out") == 1
