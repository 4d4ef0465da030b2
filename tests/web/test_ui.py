"""`dbtorch ui` in a real browser: the overview, a run while it goes on, logs, and who is refused."""

import gzip
import http.client
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.core.errors import StoreError, UsageError
from dbtorch.core.model.events import Attempt
from dbtorch.core.model.state import RunState, State
from dbtorch.service.history.run import show_run
from dbtorch.service.history.run_json import run_json
from dbtorch.service.project.options import RunOptions
from dbtorch.testing.store import MemoryStore
from dbtorch.web.app import Site, application
from dbtorch.web.serve import UiOptions, serve
from dbtorch.web.server import answering, hosts_of
from tests.stores import a_lease, change
from tests.unit.story import LOST, WRONG, Told
from tests.web.shops import large, small
from tests.web.test_report import CONTRASTS

RUN = "20260301T120000Z-bb2222"
TOKEN = "s3cret-s3cret-s3cret"


@pytest.fixture
def shop(tmp_path):
    """The folder of a project with two pipelines, one of which has a schedule."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbtorch.yml").write_text(
        "version: 1\npipelines:\n  daily: {schedule: {cron: '0 6 * * *'}}\n  weekly: {select: tag:weekly}\n"
    )
    return tmp_path


@pytest.fixture
def site(shop):
    return Site(
        project_dir=shop,
        name="shop",
        store=MemoryStore(),
        options=RunOptions(project_dir=str(shop), environ={}),
    )


@pytest.fixture
def url(site):
    with answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/"


def ask(url, path, method="GET", body=None, **headers):
    """Status, headers and body, as a program that is no browser."""
    where = url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(where, timeout=60)
    connection.request(
        method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


class Live:
    """A run of this moment that goes on when it is told to, with whoever drives it alive."""

    def __init__(self, store, run_id="20260301T120000Z-dd4444"):
        now = datetime.now(UTC) - timedelta(seconds=9)
        whole = Told(
            {"step.ingest_rates": [LOST], "model.shop.fct_orders": [WRONG]},
            run_id=run_id,
            started_at=now,
        )
        self.store, self.id, self.end = store, run_id, whole.now
        self.turns = [changes for _, changes in whole.turns]
        store.begin(whole.record, list(whole.plan.graph.nodes.values()))
        store.acquire(a_lease(run_id, acquired_at=now, expires_at=now + timedelta(days=1)))

    def on(self, turns=1):
        for _ in range(turns):
            self.store.record(self.id, self.turns.pop(0))

    def finish(self):
        self.on(len(self.turns))
        self.store.end(self.id, RunState.FAILED, self.end)


# ---------------------------------------------------------------- pages


def test_the_overview_says_what_is_wrong_since_when_and_whose_it_is(browser, site, url):
    small(store=site.store)
    browser.open(url)
    assert browser.text("h1") == "✕ not well shop"
    daily = browser.text("[data-pipeline=daily]")
    assert "run 20260301T120000Z-bb2222 failed" in daily
    assert "next" in daily
    assert "never run on this target" in browser.text("[data-pipeline=weekly]")
    states = browser.js(
        "[...document.querySelectorAll('.bars a')].map(a => [a.className, a.textContent.split(',')[0]])"
    )
    assert states == [["s-success", "✓success"]] * 3 + [["s-failed", "✕failed"]]
    wrong = browser.text(".wrong")
    for said in ("fct_orders", "ana", 'column "amont" not found', "last well"):
        assert said in wrong
    browser.press("j", "Enter")
    browser.wait("document.querySelector('.failure')")
    assert browser.js("location.pathname") == f"/runs/{RUN}"


def test_the_overview_changes_in_place(browser, site, url):
    small(store=site.store)
    browser.open(url)
    Told(store=site.store, run_id="20260302T120000Z-ee5555", started_at=datetime.now(UTC))
    browser.wait("document.querySelectorAll('.bars li').length === 5")


def test_partitions_of_a_pipeline_are_a_calendar(browser, shop, site, url):
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=before) for before in (4, 3, 2)]
    first, good, bad = (f"{day:%Y-%m-%d}" for day in days)
    (shop / "dbtorch.yml").write_text(
        f"version: 1\npipelines:\n  daily: {{partition: {{by: day, start: {first}}}}}\n"
    )
    for key, day, outcomes in ((good, days[1], []), (bad, days[2], [WRONG])):
        Told(
            {"model.shop.fct_orders": outcomes},
            store=site.store,
            run_id=f"of-{key}",
            started_at=day + timedelta(days=1),
            partition=key,
        )
    browser.open(url)
    titles = "[...document.querySelectorAll('.calendar title')].map(t => t.textContent)"
    assert browser.js(titles)[:3] == [f"{first}, missing", f"{good}, done", f"{bad}, failed"]
    said = browser.text(".calendar p")
    assert "1 done" in said
    assert f"failed: {bad}" in said
    browser.click(".calendar p a")
    browser.wait(f"location.pathname === '/runs/of-{bad}' && document.querySelector('.failure')")


def test_how_long_a_run_still_takes_is_said_by_what_is_usual(browser, site, url):
    small(store=site.store)
    live = Live(site.store)
    live.on(3)
    browser.open(f"{url}runs/{live.id}")
    assert browser.wait("document.querySelector('#run-left').innerText").startswith("about ")
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")
    assert browser.js("document.querySelector('#eta').hidden")


def test_a_run_is_seen_as_it_goes_on(browser, site, url):
    live = Live(site.store)
    live.on(3)
    browser.open(f"{url}runs/{live.id}#sort=name")
    assert browser.text("#run-state") == "▶ running"
    assert browser.wait("document.querySelector('#live').innerText") == "live"
    first = browser.js("document.querySelectorAll('.bar.s-success').length")
    browser.js("window.same = true")  # nothing is loaded again
    order = browser.js("[...document.querySelectorAll('.rows .row')].map(r => r.dataset.id)")
    while not any("up_for_retry" in str(change.state) for change in live.turns[0]):
        live.on()
    live.on()
    browser.wait("document.querySelector(\"[data-id='step.ingest_rates'] .bar.s-failed\")")
    live.on(4)
    browser.wait(f"document.querySelectorAll('.bar.s-success').length > {first}")
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")
    assert "amont" in browser.wait("document.querySelector('.failure')?.innerText")
    assert (
        browser.js("[...document.querySelectorAll('.rows .row')].map(r => r.dataset.id)")[
            : len(order)
        ]
        == order
    )
    assert "1 failed" in browser.text("#chips")
    assert "running" not in browser.text("#chips")
    assert browser.js("window.same")
    assert browser.js("document.querySelectorAll('.bar.open').length") == 0


def test_a_stream_goes_on_after_the_last_that_was_heard(site, url):
    live = Live(site.store)
    live.on(4)
    seen = site.store.run_changes(live.id, after=0).sequence
    live.finish()
    status, headers, text = ask(
        url, f"/api/v1/runs/{live.id}/events?after=0", Last_Event_ID=str(seen)
    )
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    messages = [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"')]
    assert [one["state"] for one in messages] == ["failed"]
    later = site.store.run_changes(live.id, after=seen)
    assert text.count(f"id: {later.sequence}\n") == 1
    assert [node["id"] for node in messages[0]["nodes"]] == [node.id for node in later.nodes]
    status, _, same = ask(url, f"/api/v1/runs/{live.id}/changes?after={seen}")
    assert json.loads(same) == messages[0]  # what is polled where there is no stream
    _, _, gone = ask(url, "/api/v1/runs/20990101T000000Z-ffffff/events")
    assert '{"gone": true}' in gone


def test_a_page_without_streams_polls(browser, site, url):
    live = Live(site.store)
    browser.before_scripts(
        "window.EventSource = class { constructor() { setTimeout(() => { this.readyState = 2; this.onerror(); }); } addEventListener() {} close() {} }; EventSource.CLOSED = 2;"
    )
    browser.open(f"{url}runs/{live.id}")
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")


def test_a_log_of_a_hundred_thousand_lines(browser, site, url, shop):
    small(store=site.store)
    log = RunFiles(state_dir(shop), RUN).log(Attempt("model.shop.fct_orders", 1))
    log.write_text(
        "".join(f"line {number}\n" for number in range(1, 99_999))
        + "\x1b[31mBinder Error\x1b[0m <b>here</b>\nno break"
    )
    page = f"{url}runs/{RUN}/log?node=model.shop.fct_orders"
    browser.open(page)
    browser.wait("document.querySelector('#space').offsetHeight === 1800000")
    assert browser.js("document.querySelectorAll('.line').length") < 200
    browser.press("e")
    assert browser.wait("document.querySelector('.line.chosen')?.innerText.trim()").endswith(
        "Binder Error <b>here</b>"
    )
    assert browser.text(".line.chosen .a-r") == "Binder Error"
    assert browser.js("location.hash") == "#L=99999"
    browser.press("/")
    browser.write("line 5000")
    browser.wait("document.querySelector('#found').innerText === '1 of 11 lines'")
    browser.press("Escape", "n")
    browser.wait("document.querySelector('#found').innerText === '2 of 11 lines'")
    browser.open(f"{page}#L=777")
    browser.wait("document.querySelector('.line.chosen')?.innerText.includes('line 777')")


def test_a_log_is_followed_while_it_is_written(browser, site, url, shop):
    live = Live(site.store)
    while not site.store.run(live.id).nodes[0].attempts:
        live.on()
    node = next(
        node for node in site.store.run(live.id).nodes if node.attempts and not node.state.final
    )
    with RunFiles(state_dir(shop), live.id).log(Attempt(node.id, 1)).open("w") as log:
        log.write("first\nhalf a li")
        log.flush()
        browser.open(f"{url}runs/{live.id}/log?node={quote(node.id)}")
        browser.press("f")
        browser.wait("document.querySelectorAll('.line').length === 1")
        log.write("ne\n" * 300)
    browser.wait("document.querySelector('#log').scrollTop > 1000")
    browser.press("g", "g")
    browser.wait("document.querySelector('#log').innerText.includes('half a line')")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_pages_can_be_read_on_a_telephone_and_at_night(browser, site, url, dark, width):
    small(store=site.store)
    browser.size(width, 800)
    browser.dark(dark)
    for path in ("", f"runs/{RUN}", f"runs/{RUN}/log?node=model.shop.fct_orders"):
        browser.open(url + path)
        assert browser.js("document.documentElement.scrollWidth") == width, path
        assert browser.js(CONTRASTS) == [], path


def test_three_thousand_nodes_are_there_with_all_their_rows(browser, site, url):
    large(3000, store=site.store)
    browser.open(f"{url}runs/latest")
    browser.wait("document.querySelectorAll('.rows .row').length === 3002")
    browser.press("/")
    browser.write("0042")
    browser.wait("document.querySelector('#shown').innerText.startsWith('1 of')")


def test_the_page_of_a_run_that_is_over_is_another_one_once_something_is_done_to_it(site, url):
    small(store=site.store)
    first = ask(url, f"/runs/{RUN}")[2]
    for _ in range(2):  # who wants it compressed changes nothing for others
        where = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=60)
        where.request("GET", f"/runs/{RUN}", headers={"Accept-Encoding": "gzip"})
        assert gzip.decompress(where.getresponse().read()).decode() == first
        where.close()
    assert ask(url, "/runs/latest")[2] == first
    assert '"state": "failed"' in first
    kpis = change("model.shop.fct_kpis", State.UPSTREAM_FAILED, State.SUCCESS, 60, attempt=0)
    site.store.record(RUN, [kpis])
    then = ask(url, f"/runs/{RUN}")[2]
    assert then.count('"state": "upstream_failed"') == first.count('"state": "upstream_failed"') - 1
    assert ask(url, f"/runs/{RUN[:12]}")[0] == 200


# ---------------------------------------------------------------- JSON


def test_json_is_that_of_the_command_line(site, url):
    small(store=site.store)
    said = json.loads(ask(url, f"/api/v1/runs/{RUN}")[2])
    assert said == {"schema_version": 1, **run_json(show_run(site.store, RUN))}
    listed = json.loads(ask(url, "/api/v1/runs?limit=2&pipeline=daily")[2])
    assert [run["run_id"] for run in listed] == [RUN, "20260228T120000Z-aaaaaa"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/runs/nobody", 404, "there is no run 'nobody'; `dbtorch runs` lists them"),
        ("/api/v1/runs?limit=-1", 400, "limit is '-1', which is no number"),
        (f"/api/v1/runs/{RUN}/log?node=nobody", 404, "has no node 'nobody'"),
        # whatever is written there is a name, and no path of the file system
        (f"/api/v1/runs/{RUN}/log?node=../../etc/passwd", 404, "has no node"),
        ("/api/v1/runs/..%2F..%2Fetc/log?node=x", 404, ""),
        ("/runs/nobody", 404, "there is no run"),
        ("/static/x/../../app.py", 404, ""),
        ("/static/x/app.py", 404, "there is no such file"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(site, url, path, status, said):
    small(store=site.store)
    found, _, text = ask(url, path)
    assert found == status
    assert said.replace("'", "&#39;") in text or said in text
    assert "Traceback" not in text


def test_a_history_that_does_not_answer_is_said_and_its_address_is_not(
    browser, site, url, monkeypatch
):
    live = Live(site.store)
    live.on(2)
    browser.open(f"{url}runs/{live.id}")

    def refuse(*_, **__):
        raise StoreError("cannot connect to postgresql://user@db")

    monkeypatch.setattr(SqlStore, "run_changes", refuse)
    assert ask(url, f"/api/v1/runs/{live.id}/changes")[::2] == (
        503,
        '{"error": "the history does not answer"}',
    )
    browser.wait(
        "document.querySelector('#live').innerText.startsWith('the history does not answer')"
    )
    monkeypatch.undo()
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")


# ---------------------------------------------------------------- who is answered


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),  # its name leads here
        ({"Host": "localhost:8485"}, 200),
    ],
)
def test_only_who_calls_it_by_its_name_is_answered(url, headers, status):
    assert ask(url, "/api/v1/runs", **headers)[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example"},
    ],
)
def test_another_site_may_post_nothing(site, url, headers):
    site.token = TOKEN
    body = json.dumps({"token": TOKEN})
    headers = {"Content_Type": "application/json", **headers}
    assert ask(url, "/api/v1/session", "POST", body, **headers)[::2] == (
        403,
        "another site may not do this\n",
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(url, method):
    assert ask(url, "/api/v1/runs", method)[0] == 405


def test_every_answer_says_what_a_page_may_do(url):
    for path in ("/", "/static/x/run.js", "/nothing"):
        headers = ask(url, path)[1]
        assert headers["content-security-policy"].startswith("default-src 'self'; base-uri 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_what_a_page_is_made_of_is_asked_for_once_in_its_version(browser, site, url):
    small(store=site.store)
    browser.open(f"{url}runs/{RUN}")
    asked = {one for one in browser.requests if "/static/" in one}
    assert {one.rpartition("/")[2] for one in asked} >= {
        "run.js",
        "common.js",
        "lanes.js",
        "live.js",
    }
    (version,) = {one.rpartition("/")[0].rpartition("/")[2] for one in asked}
    kept = ask(url, f"/static/{version}/common.js")[1]["cache-control"]
    assert kept == "public, max-age=31536000, immutable"
    assert ask(url, "/static/other/common.js")[1]["cache-control"] == "no-cache"


def test_with_a_token_nothing_is_read_without_it(browser, site):
    small(store=site.store)
    site.token = TOKEN
    with answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/"
        for path in ("/", f"/runs/{RUN}", "/api/v1/runs", f"/api/v1/runs/{RUN}/events"):
            assert ask(url, path)[0] == 401
            assert ask(url, path, Authorization=f"Bearer {TOKEN}x")[0] == 401
            assert ask(url, path, Authorization=f"Bearer {TOKEN}")[0] == 200
        json_of = {"Content_Type": "application/json"}
        for body in ("", "[]", "{}", '{"token": 1}', '{"token": "ä"}', '{"token": "other"}'):
            assert ask(url, "/api/v1/session", "POST", body.encode(), **json_of)[0] == 401
        assert ask(url, "/api/v1/session", "POST", f"token={TOKEN}")[0] == 415
        browser.open(f"{url}token#token={TOKEN}")
        browser.wait("document.querySelector('.pipelines')")
        assert browser.js("document.cookie") == ""  # no script can read it
        assert TOKEN not in browser.js("location.href")
        assert [one for one in browser.requests if TOKEN in one and "#" not in one] == []


def test_two_servers_of_a_machine_keep_their_tokens_apart(browser, site):
    other = replace(site, token=TOKEN[::-1])
    site.token = TOKEN
    with (
        answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as one,
        answering(application(other, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as two,
    ):
        for port, token in ((one, TOKEN), (two, TOKEN[::-1])):
            browser.open(f"http://127.0.0.1:{port}/token#token={token}")
            browser.wait("document.querySelector('.pipelines')")
        browser.open(f"http://127.0.0.1:{one}/")  # whose cookies the second has seen, too
        browser.wait("document.querySelector('.pipelines')")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "short"}, "--token has 5 characters: use 16 or more"),
        ({"root_path": "x"}, "--root-path is 'x': it begins with a slash"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(options, said):
    with pytest.raises(UsageError, match=said):
        serve(UiOptions(options=RunOptions(environ={}), **options), say=print)
