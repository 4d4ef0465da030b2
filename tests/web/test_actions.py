"""What may be done at a page: who may, that each is a command, and that what runs outlives the page."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.errors import UsageError
from dbtorch.core.model.state import RunState
from dbtorch.service.run.apart import Apart, apart
from dbtorch.service.wish import Deed, Wish, wish_of
from dbtorch.web.app import application
from dbtorch.web.server import answering, hosts_of
from tests.stores import a_lease
from tests.web.shops import MARKUP, small
from tests.web.test_ui import RUN, TOKEN, Live, ask, shop, site, url  # noqa: F401

MAY = {"Authorization": f"Bearer {TOKEN}", "Content_Type": "application/json"}


@pytest.fixture
def acting(site):  # noqa: F811
    site.acting = TOKEN
    return site


def act(url, headers=MAY, **said):  # noqa: F811
    status, _, text = ask(url, "/api/v1/actions", "POST", json.dumps(said), **headers)
    return status, json.loads(text) if text.startswith("{") else text


# ---------------------------------------------------------------- each is a command


@pytest.mark.parametrize(
    ("wish", "command"),
    [
        (Wish(action=Deed.RETRY, run="r", reason="a b"), "dbtorch retry r '--reason=a b'"),
        (
            Wish(action=Deed.RERUN, run="r", nodes=("fct+", "--x"), reason="z"),
            "dbtorch rerun r --select=fct+ --select=--x --reason=z",
        ),
        (Wish(action=Deed.CANCEL, run="r", nodes=("n",)), "dbtorch cancel r n"),
        (Wish(action=Deed.MARK, run="r", nodes=("n",), state="failed"), "dbtorch mark r n failed"),
        (Wish(action=Deed.TRIGGER, pipeline="p", reason="x"), "dbtorch trigger p"),
        (Wish(action=Deed.RESUME, pipeline="p"), "dbtorch resume p"),
        (
            Wish(action=Deed.BACKFILL, pipeline="p", first="2026-01-01", reason="$(x)"),
            "dbtorch backfill p --from=2026-01-01 '--reason=$(x)'",
        ),
    ],
)
def test_an_action_is_a_command(wish, command):
    assert wish.command == command


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ([], "an action is a JSON object"),
        ({}, "action is none of retry, rerun"),
        ({"action": "drop"}, "action is none of"),
        ({"action": "retry", "force": True}, "an action has no 'force'; it has action, run"),
        ({"action": "retry", "run": 3}, "run is no text of one line"),
        ({"action": "retry", "run": "a\nb"}, "run is no text of one line"),
        ({"action": "rerun", "nodes": "a"}, "nodes is no list"),
        ({"action": "retry", "reason": "x" * 2001}, "reason is no text of one line, 2000"),
    ],
)
def test_what_is_no_action_is_refused_in_a_sentence(said, sentence):
    with pytest.raises(UsageError, match=sentence):
        wish_of(said)


# ---------------------------------------------------------------- who may


def test_nobody_acts_without_the_token(site, url):  # noqa: F811
    small(store=site.store)
    wanted = {
        "action": "mark",
        "run": RUN,
        "nodes": ["fct_orders"],
        "state": "success",
        "reason": "x",
    }
    assert act(url, **wanted)[0] == 403  # nobody has one
    site.acting = TOKEN
    for headers in ({}, {"Authorization": "Bearer other"}, {"Cookie": "dbtorch_token=other"}):
        assert act(url, {"Content_Type": "application/json", **headers}, **wanted)[0] == 401
    for headers, status in (
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "text/plain"}, 415),
        ({"Host": "evil.example"}, 400),
    ):
        assert act(url, {**MAY, **headers}, **wanted)[0] == status, headers
    assert ask(url, "/api/v1/actions", "POST", "{", **MAY)[0] == 400
    assert ask(url, "/api/v1/actions", "POST", " " * 70_000, **MAY)[0] == 400
    assert site.store.actions(RUN) == []
    assert ask(url, f"/runs/{RUN}")[2].count("data-act") == 0
    assert ask(url, f"/runs/{RUN}", **MAY)[2].count("data-act") == 3


# ---------------------------------------------------------------- what is done


def test_what_is_done_is_in_the_history_with_its_reason(acting, url):  # noqa: F811
    small(store=acting.store)
    mark = {"action": "mark", "run": RUN[:12], "nodes": ["fct_orders"], "state": "success"}
    assert act(url, **mark) == (400, {"error": "say why: the reason is kept in the history"})
    command = f"dbtorch mark {RUN} model.shop.fct_orders success --reason=looked"
    assert act(url, **mark, reason="looked", dry_run=True) == (200, {"command": command})
    assert acting.store.actions(RUN) == []
    status, said = act(url, **mark, reason="looked")
    assert (status, said["command"]) == (200, command)
    assert said["said"][0].startswith("model.shop.fct_orders is marked success")
    (action,) = acting.store.actions(RUN)
    assert (action.action, action.reason, "@" in action.actor) == ("mark", "looked", True)
    page = ask(url, f"/runs/{RUN}")[2]
    assert "<b>mark</b> <code>model.shop.fct_orders</code> success by" in page
    assert act(url, **{**mark, "nodes": ["nobody"]}, reason="x")[0] == 404
    assert act(url, **{**mark, "state": "reused"}, reason="x")[0] == 400


def test_a_run_and_its_nodes_are_cancelled_by_whoever_drives_it(acting, url):  # noqa: F811
    live = Live(acting.store)
    live.on(2)
    status, said = act(url, action="cancel", run=live.id, reason="wrong branch")
    assert (status, said["said"]) == (200, [f"run {live.id} was asked to cancel everything"])
    (action,) = acting.store.actions(live.id)
    assert (action.action, action.node_id, action.reason) == ("cancel", "", "wrong branch")


def test_a_pipeline_is_paused_resumed_and_triggered(acting, url):  # noqa: F811
    assert act(url, action="pause", pipeline="daily", reason="moves")[0] == 200
    (schedule,) = acting.store.ledger().schedules.values()
    assert schedule.pause.reason == "moves"
    assert "paused: moves" in ask(url, "/")[2]
    status, said = act(url, action="trigger", pipeline="weekly", reason="again")
    assert (status, "dbtorch serve" in said["said"][0]) == (200, True)
    ((_, tick),) = acting.store.ticks(None, limit=5)
    assert tick.cause.text == "a page: again"
    assert act(url, action="resume", pipeline="daily")[0] == 200
    assert act(url, action="resume", pipeline="daily")[0] == 409
    assert act(url, action="pause", pipeline="../x", reason="x")[0] == 404


def test_a_run_goes_on_in_a_process_of_its_own(acting, url):  # noqa: F811
    small(store=acting.store)
    started = []

    def start(words, begun):
        assert not begun()
        now = datetime.now(UTC)
        before = acting.store.run(RUN)
        acting.store.begin(replace(before, state=RunState.RUNNING, resumed_at=now), [])
        acting.store.acquire(a_lease(RUN, acquired_at=now, expires_at=now + timedelta(days=1)))
        assert begun()
        started.append(words)
        return "retry goes on"

    acting.start = start
    status, said = act(url, action="retry", run="latest", reason=MARKUP)
    assert (status, said["said"]) == (200, ["retry goes on"])
    assert started == [("retry", RUN, f"--reason={MARKUP}")]


PROGRAM = """
import os, pathlib, sys, time
pathlib.Path("part").write_text(str(os.getpid()))
os.rename("part", "begun")
if "fail" in sys.argv:
    print("a line"); sys.exit("Error: no such thing")
time.sleep(600)
"""


def test_what_is_started_outlives_who_asked_and_says_why_it_does_not_begin(tmp_path):
    program = (sys.executable, "-c", PROGRAM)
    one = Apart(project_dir=tmp_path, environ=dict(os.environ), program=program)
    with pytest.raises(UsageError, match="fail did not begin: no such thing"):
        one.start(["fail"], lambda: False)
    (tmp_path / "begun").unlink()
    asking = f"""
from pathlib import Path
from dbtorch.service.run.apart import Apart
import os
folder = Path({str(tmp_path)!r})
program = {program!r}
begun = lambda: (folder / "begun").exists()
print(Apart(project_dir=folder, environ=dict(os.environ), program=program).start(["retry"], begun))
"""
    said = subprocess.run(
        [sys.executable, "-c", asking], capture_output=True, text=True, check=True
    )
    assert said.stdout == "retry goes on\n"
    os.kill(int((tmp_path / "begun").read_text()), signal.SIGKILL)  # it is there


def test_what_is_started_knows_the_history_and_not_the_token(acting):
    acting.options.environ["DBTORCH_UI_TOKEN"] = TOKEN
    environ = apart(acting.options, acting.project_dir).environ
    assert "DBTORCH_UI_TOKEN" not in environ


# ---------------------------------------------------------------- with a browser


def test_a_click_asks_for_a_reason_and_shows_the_command(browser, acting):
    small(store=acting.store)
    done = []
    acting.start = lambda words, begun: done.append(words) or "retry goes on"
    with answering(application(acting, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/"
        browser.open(f"{url}runs/{RUN}")
        assert browser.js("document.querySelectorAll('[data-act]').length") == 0
        browser.open(f"{url}token#token={TOKEN}")
        browser.wait("document.querySelector('.pipelines [data-act=pause]')")
        browser.open(f"{url}runs/{RUN}")
        browser.press("a")
        browser.wait(f"document.querySelector('.command').innerText === 'dbtorch retry {RUN}'")
        browser.write("it's mended")
        browser.wait("document.querySelector('.command').innerText.includes('mended')")
        browser.press("Enter")
        browser.wait("document.querySelector('dialog [role=status]').innerText === 'retry goes on'")
        assert done == [("retry", RUN, "--reason=it's mended")]
