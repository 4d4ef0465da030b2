"""The graph of a run, one node from run to run and the lists of nodes, in a real browser."""

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass, State
from dbtorch.service.project.options import RunOptions
from dbtorch.testing.store import MemoryStore
from dbtorch.web.app import Site, application
from dbtorch.web.server import answering, hosts_of
from tests.unit.story import NOON, Told, model, plan, step
from tests.web.shops import MARKUP, hostile, large, small
from tests.web.test_report import CONTRASTS
from tests.web.test_ui import Live, ask

RUN = "20260301T120000Z-bb2222"
DRAWN = "performance.getEntriesByName('graph').length"
MANIFEST = {
    "nodes": {
        "model.shop.fct_orders": {
            "unique_id": "model.shop.fct_orders",
            "name": "fct_orders",
            "resource_type": "model",
            "package_name": "shop",
            "original_file_path": "models/marts/fct_orders.sql",
            "raw_code": "select * from {{ ref('stg_orders') }} -- <b>raw</b>",
            "relation_name": '"db"."main"."fct_orders"',
            "tags": ["nightly"],
            "config": {"materialized": "table"},
            "unrendered_config": {"materialized": "table"},
            "columns": {"id": {"name": "id", "data_type": "int", "description": "The key."}},
        }
    },
    "child_map": {"model.shop.fct_orders": ["test.shop.unique", "model.shop.fct_kpis"]},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A project whose manifest knows one model, and what that was compiled to."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (folder / "target/compiled/shop/models/marts").mkdir(parents=True)
    (folder / "target/manifest.json").write_text(json.dumps(MANIFEST))
    compiled = folder / "target/compiled/shop/models/marts/fct_orders.sql"
    compiled.write_text("select * from main.stg_orders")
    return folder


@pytest.fixture(scope="module")
def serve(shop):
    """Answers a store's pages; one server for each store."""
    from contextlib import ExitStack

    with ExitStack() as open:

        def serve(store):
            options = RunOptions(project_dir=str(shop), environ={})
            site = Site(project_dir=shop, name="shop", store=store, options=options)
            app = application(site, hosts_of("127.0.0.1", ()))
            return f"http://127.0.0.1:{open.enter_context(answering(app, '127.0.0.1', 0))}/"

        yield serve


@pytest.fixture(scope="module")
def url(serve):
    return serve(small())


def shown(browser):
    return browser.js(
        "[...document.querySelectorAll('.box[data-box] .first')].map(t => t.textContent)"
    )


def drawn(browser, url, path="graph"):
    browser.open(url + path)
    browser.wait(DRAWN)


def again(browser, do):
    """Do something that asks the server for another part, and wait for it."""
    before = browser.js(DRAWN)
    do()
    browser.wait(f"{DRAWN} > {before}")


def click_on(browser, name, within=".outline"):
    """Click what a box is drawn with, where a person would."""
    place = browser.js(
        f"[...document.querySelectorAll('.box')].findIndex(b => b.querySelector('.first').textContent === {json.dumps(name)})"
    )
    browser.click(f"[data-box='{place}'] {within}")


def test_it_begins_with_what_is_not_well_and_one_step_around(browser, url):
    drawn(browser, url)
    assert browser.js("location.pathname") == f"/runs/{RUN}/graph"  # an address that stays
    assert shown(browser) == [
        "stg_orders", "stg_rates", "not_null_orders", "fct_orders", "fct_kpis", "unique_kpis", "export_kpis",
    ]  # fmt: skip
    assert browser.text("#what") == "7 of 9 nodes: what is not well, and one step around it."
    failed = browser.js(
        "(b => [b.className.baseVal, b.getAttribute('aria-label'), b.textContent])"
        "([...document.querySelectorAll('.box')].find(b => b.textContent.includes('fct_orders')))"
    )
    assert "s-failed" in failed[0]
    assert failed[1].startswith("model fct_orders, failed, owner ana")
    assert "✕" in failed[2]  # never by colour alone
    assert "model · failed" in failed[2]
    kinds = browser.js(
        "new Set([...document.querySelectorAll('.box .outline')].map(p => p.getAttribute('d'))).size"
    )
    assert kinds == 3  # models, tests and steps


def test_it_grows_where_somebody_asks_and_what_is_there_stays_in_its_place(browser, url):
    drawn(browser, url)
    place = "(b => { const r = b.getBoundingClientRect(); return [Math.round(r.x), Math.round(r.y)]; })([...document.querySelectorAll('.box')].find(b => b.querySelector('.first').textContent === 'stg_orders').querySelector('.outline'))"
    before = browser.js(place)
    again(browser, lambda: click_on(browser, "stg_orders", ".handle"))
    assert "ingest_orders" in shown(browser)
    assert "ingest_rates" not in shown(browser)
    assert all(abs(now - then) <= 1 for now, then in zip(browser.js(place), before, strict=True))
    kept = browser.js("location.href")
    browser.open(kept)
    browser.wait(DRAWN)
    assert "ingest_orders" in shown(browser)
    again(browser, lambda: browser.click("#first"))
    assert "ingest_orders" not in shown(browser)


@pytest.fixture(scope="module")
def well(serve):
    """The same shop on a good day."""
    return serve(Told().store)


def test_tests_that_are_well_are_left_out_and_led_around(browser, well):
    drawn(browser, well, "graph#all=1")
    assert "not_null_orders" not in shown(browser)
    found = json.loads(ask(well, "/api/v1/runs/latest/graph?all=1")[2])
    nodes = [box["node"] for box in found["boxes"]]
    pairs = {(nodes[edge["from"]], nodes[edge["to"]]) for edge in found["edges"]}
    assert (2, 5) in pairs  # stg_orders to fct_orders
    again(browser, lambda: browser.click("#tests"))
    assert len(shown(browser)) == 9
    drawn(browser, well)
    assert browser.text("#what").endswith("nothing failed: the critical path, and one step around.")


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("folder", ["models/marts", "models/staging", "steps", "tests"]),
        ("package", ["shop", "steps"]),
        ("tag", ["nightly", "no tag"]),
    ],
)
def test_nodes_are_put_together_and_groups_open(browser, url, by, groups):
    drawn(browser, url, f"graph#by={by}")
    assert sorted(shown(browser)) == groups
    again(browser, lambda: click_on(browser, groups[0]))
    assert "fct_orders" in shown(browser)
    assert groups[1] in shown(browser)
    kept = browser.js("location.href")
    browser.open(kept)
    browser.wait(DRAWN)
    assert "fct_orders" in shown(browser)


def test_what_comes_before_and_after_lights_up(browser, url):
    drawn(browser, url, "graph#all=1")
    place = browser.js(
        "(b => { const r = b.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })"
        "([...document.querySelectorAll('.box')].find(b => b.querySelector('.first').textContent === 'fct_orders'))"
    )
    browser.hover(*place)
    browser.wait("document.querySelector('.box.of')")
    lit = "[...document.querySelectorAll('.box.{}')].map(b => b.querySelector('.first').textContent).sort()"
    assert browser.js(lit.format("before")) == [
        "ingest_orders", "ingest_rates", "not_null_orders", "stg_orders", "stg_rates",
    ]  # fmt: skip
    assert browser.js(lit.format("after")) == ["export_kpis", "fct_kpis", "unique_kpis"]
    assert browser.text("#hovered") == "model fct_orders: 5 before it, 3 after it"


def test_search_jumps_to_what_is_not_shown(browser, url):
    drawn(browser, url)
    browser.press("/")
    browser.write("ingest rates")
    browser.press("Enter")
    browser.wait("document.querySelector('.box.chosen')")
    assert shown(browser) == ["ingest_rates", "stg_rates"]
    assert "node=step.ingest_rates" in browser.js("location.hash")
    browser.press("/")
    browser.write("nobody")
    assert browser.text("#matches") == "no node has that"


def test_a_node_is_looked_at_with_its_code_and_its_history(browser, url):
    drawn(browser, url, "graph#node=model.shop.fct_orders")
    browser.wait("document.querySelector('#panel .plot')")
    panel = browser.text("#panel")
    for said in (
        "finance", '"db"."main"."fct_orders"', "nightly", "1 of 4 runs", 'column "amont" not found',
        "dbtorch run --select fct_orders", f"dbtorch rerun {RUN} --select fct_orders",
    ):  # fmt: skip
        assert said in panel
    assert browser.js(
        "[...document.querySelectorAll('#panel details')].map(d => d.textContent.replace('copy', ''))"
    ) == [
        "Compiled SQLselect * from main.stg_orders",
        "Raw SQLselect * from {{ ref('stg_orders') }} -- <b>raw</b>",
        'Config (1)materialized"table"',
        "Columns (1)id intThe key.",
        "Tests (1)test.shop.unique",
    ]
    bars = "document.querySelectorAll('#panel .plot')[0].querySelectorAll('.amount').length"
    assert browser.js(bars) == 4
    browser.press("Escape")
    assert browser.js("document.querySelector('#panel').hidden")


def test_it_is_used_by_keys_alone(browser, url):
    drawn(browser, url)
    browser.press("j", "j", "j", "j")
    now = "document.activeElement.querySelector('.first').textContent"
    assert browser.js(now) == "fct_orders"
    browser.press("ArrowRight")
    assert browser.js(now) == "fct_kpis"
    browser.press("ArrowLeft", "ArrowLeft")
    assert browser.js(now) in ("stg_rates", "not_null_orders")
    while browser.js(now) != "stg_orders":
        browser.press("k")
    again(browser, lambda: browser.press("p"))
    assert "ingest_orders" in shown(browser)
    browser.press("Enter")
    browser.wait("!document.querySelector('#panel').hidden")
    browser.press("Escape", "?")
    assert "show what comes before the node" in browser.text("dialog")
    browser.click("dialog button")
    browser.press("g", "n")
    browser.wait("location.pathname === '/nodes' && document.querySelector('h1')")


def test_states_change_as_the_run_goes_on_and_nothing_else_moves(browser, serve):
    store = MemoryStore()
    live = Live(store)
    live.on(3)
    drawn(browser, serve(store))
    before = shown(browser)
    assert browser.text("#what").startswith(f"{len(before)} of 9 nodes: what failed or runs")
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")
    assert shown(browser) == before
    assert browser.js("document.querySelectorAll('.box.s-running').length") == 0


def test_three_thousand_nodes_are_painted_on_a_canvas(browser, serve):
    url = serve(large(3000))
    drawn(browser, url)
    assert len(shown(browser)) < 200  # never all of it unasked
    again(browser, lambda: browser.click("#all"))
    assert browser.text("#what") == "3000 of 3000 nodes."
    assert browser.js("!document.querySelector('canvas').hidden")
    ink = "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))(document.querySelector('canvas'))"
    assert browser.js(ink)
    browser.press("j", "Enter")  # a canvas has keys, too
    browser.wait("document.querySelector('#panel .plot')")
    browser.press("Escape", "/")
    browser.write("2042")
    browser.press("Enter")
    browser.wait("document.querySelector('#panel h2')?.innerText.includes('2042')")
    assert browser.js("document.querySelectorAll('#list li').length") == 401


def test_a_node_from_run_to_run_says_since_when_it_is_slow(browser, serve):
    a, b = model("slow", owner="ana"), step("flaky")
    lost = Outcome(state=State.FAILED, message="lost", failure_class=FailureClass.TRANSIENT)
    store = MemoryStore()
    for day in range(8):
        Told(
            {b.id: [lost] if day in (2, 5) else []},
            {a.id: [9.0 if day > 4 else 3.0]},
            a_plan=plan((a, b), ()),
            store=store,
            run_id=f"day{day}",
            started_at=NOON + timedelta(days=day),
            git_commit="abc1234def" if day > 4 else "0000000000",
        )
    url = serve(store)
    browser.open(url + "nodes")
    rows = browser.js(
        "Object.fromEntries([...document.querySelectorAll('section')].map(s => [s.querySelector('h2').innerText,"
        " [...s.querySelectorAll('tbody tr')].map(r => [...r.children].map(c => c.innerText))]))"
    )
    slow = rows["Slower than they were"]
    assert [cell.split(" 2026")[0] for cell in slow[0]] == [
        "model slow", "3.0\u00d7", "3.00s", "9.00s", "commit abc1234d", "ana",
    ]  # fmt: skip
    assert rows["Flaky"] == [["step flaky", "2", "8", "2 transient", "nobody's"]]
    assert rows["Failing"] == []
    assert next(row[0] for row in rows["Slowest"]) == "model slow"
    browser.press("j", "Enter")
    browser.wait("document.querySelector('.plot .since')")
    assert "3.0 times its usual (3.00s, now 9.00s) since commit abc1234def" in browser.text(".note")
    assert json.loads(ask(url, "/api/v1/nodes")[2])["slower"][0]["slower"]["commit"] == "abc1234def"
    browser.open(f"{url}node?node=step.flaky")
    plots = browser.js("[...document.querySelectorAll('.plot b')].map(b => b.innerText)")
    assert plots == ["Duration", "Attempts"]
    assert browser.text(".failure pre") == "lost"


def test_nothing_that_a_project_names_is_markup(browser, serve):
    url = serve(hostile())
    node = f"model.shop.{MARKUP}"
    for path in ("graph", "graph#by=package", "nodes", f"node?node={quote(node, safe='')}"):
        browser.open(url + path)
        browser.wait("document.querySelector('.box .first, .list, .plot')")
        assert "owned" not in browser.js("document.title").replace("document.title='owned'", "")
        assert (
            browser.js(
                "document.querySelectorAll('main img, [onerror], a[href^=javascript]').length"
            )
            == 0
        )
    drawn(browser, url)
    browser.press("j", "Enter")
    browser.wait("document.querySelector('#panel .plot')")
    assert (
        browser.js("document.querySelectorAll('img, [onerror], a[href^=javascript]').length") == 0
    )


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (f"/api/v1/runs/{RUN}/graph?by=colour", 400, "by is 'colour': it is one of node, folder"),
        (f"/api/v1/runs/{RUN}/graph?focus=9", 400, "the run has 9 nodes, which are counted from 0"),
        (f"/api/v1/runs/{RUN}/graph?after=1.x", 400, "'1.x' are no places of nodes"),
        ("/api/v1/runs/nobody/graph", 404, "there is no run 'nobody'"),
        ("/runs/nobody/graph", 404, "there is no run"),
        ("/api/v1/node?node=../../etc", 404, "no run on target dev has a node '../../etc'"),
        ("/node?node=nobody", 404, "has a node"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(url, path, status, said):
    found, _, text = ask(url, path)
    assert found == status
    assert said.replace("'", "&#39;") in text or said in text


def test_before_the_first_run_there_is_a_sentence(serve):
    url = serve(MemoryStore())
    for path in ("/graph", "/nodes", "/node?node=x", "/api/v1/nodes"):
        status, _, text = ask(url, path)
        assert (status, "no run of this project is recorded yet" in text) == (404, True)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_pages_can_be_read_on_a_telephone_and_at_night(browser, url, dark, width):
    browser.size(width, 800)
    browser.dark(dark)
    for path in ("graph", "nodes", "node?node=model.shop.fct_orders"):
        browser.open(url + path)
        browser.wait("document.querySelector('.box .first, .list, .plot')")
        assert browser.js("document.documentElement.scrollWidth") == width, path
        assert browser.js(CONTRASTS) == [], path
