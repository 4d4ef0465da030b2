"""The report of a run, in a real browser: one file that opens from a disk."""

import json
import re

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.errors import UsageError
from dbtorch.core.model.events import Attempt
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.plan import THREADS
from dbtorch.service.history.run_page import run_page
from dbtorch.web.report import make_room, write_report
from tests.unit.story import LOST, Told, model, plan
from tests.web.shops import hostile, large, small


@pytest.fixture
def write(tmp_path):
    """Writes the report of the newest run of a store; answers its address."""

    def write(store):
        path = tmp_path / "run.html"
        write_report(run_page(store, "latest", project_dir=tmp_path), path)
        return path.as_uri()

    return write


def names(browser):
    return browser.js(
        "[...document.querySelectorAll('.rows .row')].filter(r => !r.hidden)"
        ".map(r => r.querySelector('.name').textContent)"
    )


def bars(browser, name):
    """How the attempts of a node are drawn: kind, and where in per cent of the whole time."""
    return browser.js(
        f"[...document.querySelectorAll('.row')].find(r => r.textContent.includes({json.dumps(name)}))"
        "?.querySelectorAll('.bar').values().map(b => { const c = b.parentNode.getBoundingClientRect(),"
        " m = b.getBoundingClientRect(); return [b.className, Math.round(100 * (m.x - c.x) / c.width),"
        " Math.round(100 * m.width / c.width)] }).toArray()"
    )


def test_a_failed_run_says_what_failed_whose_it_is_and_what_is_behind_it(browser, write):
    browser.open(write(small()))
    assert browser.text("h1") == "✕ failed daily"
    failure = browser.text(".failure")
    for said in (
        "model fct_orders",
        "owner ana",
        'column "amont" not found',
        "3 nodes behind it did not run",
    ):
        assert said in failure
    assert "1 failed" in browser.text("#chips")
    assert browser.js("document.title") == "✕ daily failed · 20260301T120000Z-bb2222"


def test_attempts_are_drawn_when_they_were_with_what_is_usual_and_what_was_critical(browser, write):
    browser.open(write(small()))
    # 11.5 s in all: a lost attempt of 1 s, then one that went well, which usually takes 1 s
    (ghost, lost, wait, good) = bars(browser, "ingest_rates")
    assert lost == ["bar s-failed", 0, 9]
    assert wait[:2] == ["bar wait", 9]
    assert good == ["bar s-success", 9, 9]
    assert ghost == ["bar ghost", 9, 9]
    assert "2.5\u00d7 2.50s" in browser.text("[data-id='model.shop.fct_orders']")
    critical = browser.js(
        "[...document.querySelectorAll('.row.critical .name')].map(n => n.textContent)"
    )
    assert critical == ["ingest_orders", "stg_orders", "not_null_orders", "fct_orders"]
    assert "model.shop.fct_orders failed" in browser.text("[data-id='step.export_kpis']")


def test_idle_time_is_squeezed(browser, write):
    """Eight hours until the second attempt: both are to be seen, with a mark between them."""
    nodes = (model("late"), model("early"))
    patient = Policy(retry=Retry.times(1, delay=28_800, max_delay=28_800), slots={THREADS: 1})
    a_plan = plan(nodes, (), policies={nodes[0].id: patient})
    browser.open(write(Told({nodes[0].id: [LOST]}, a_plan=a_plan).store))
    assert browser.js("document.querySelector('.idle').title").startswith("idle for ")
    assert bars(browser, "late")[0][2] >= 15


def test_search_states_and_order_are_in_the_address(browser, write):
    url = write(small())
    browser.open(url)
    browser.press("/")
    browser.write("orders")
    assert names(browser) == ["ingest_orders", "stg_orders", "not_null_orders", "fct_orders"]
    browser.press("Escape", "f")
    assert names(browser) == ["fct_orders"]
    assert browser.text("#shown") == "1 of 11 nodes shown"
    browser.click("[data-sort=took]")
    kept = browser.js("location.href")
    browser.open(kept)
    assert names(browser) == ["fct_orders"]
    assert browser.js("document.querySelector('.c-took[aria-sort]').ariaSort") == "ascending"
    browser.open(f"{url}#sort=took")
    assert names(browser)[:2] == ["ingest_orders", "fct_orders"]


def test_the_panel_of_a_node_opens_by_keys_and_by_its_address(browser, write, tmp_path):
    log = RunFiles(state_dir(tmp_path), "20260301T120000Z-bb2222").log(
        Attempt("model.shop.fct_orders", 1)
    )
    log.write_text("\x1b[31mred\x1b[0m line\nlast <b>line</b>\n")
    url = write(small())
    browser.open(f"{url}#sort=name")
    browser.press("j", "j", "Enter")
    assert browser.text("#panel h2") == "✓ dbt session, closing"
    browser.open(f"{url}#node=model.shop.fct_orders")
    panel = browser.wait("document.querySelector('#panel:not([hidden])')?.innerText")
    for said in (
        "model fct_orders",
        "Attempt 1: failed",
        "last <b>line</b>",
        "dbtorch retry 20260301T120000Z-bb2222",
    ):
        assert said in panel
    assert browser.text(".log .a-r") == "red"
    assert browser.js("document.querySelectorAll('#panel a[href^=javascript]').length") == 0
    browser.press("Escape")
    assert browser.js("document.querySelector('#panel').hidden")
    assert "node=" not in browser.js("location.hash")


def test_the_graph_of_what_failed_is_within(browser, write):
    browser.open(write(small()))
    boxes = browser.js("[...document.querySelectorAll('.box .first')].map(t => t.textContent)")
    assert "fct_orders" in boxes
    assert "export_kpis" in boxes
    assert browser.text("#graph-title") == "Graph of what is not well, and one step around it"
    browser.click(".box.s-failed .outline")
    browser.wait("!document.querySelector('#panel').hidden")
    assert browser.text("#panel h2") == "✕ model fct_orders"
    browser.open(write(Told().store))
    assert browser.js("document.querySelector('#stage')") is None


def test_attempts_are_laid_on_lanes_of_who_worked(browser, write):
    browser.open(f"{write(small())}#lanes=1")
    lanes = browser.js(
        "[...document.querySelectorAll('.lane')].map(r => [r.querySelector('.name').textContent,"
        " ...[...r.querySelectorAll('.bar')].map(b => b.dataset.of.split('.').slice(1).join('.'))])"
    )
    assert lanes == [
        ["thread 1", "shop.stg_rates", "shop.stg_orders", "shop.not_null_orders.a1b2c3", "shop.fct_orders"],
        ["step 1", "ingest_orders"],
        ["step 2", "ingest_rates", "ingest_rates"],
    ]  # fmt: skip
    browser.press("f")
    assert browser.js("document.querySelectorAll('.lane .bar:not([hidden])').length") == 1
    browser.click("[data-of='model.shop.fct_orders']")
    assert browser.text("#panel h2") == "✕ model fct_orders"
    browser.press("l")
    assert names(browser) == ["fct_orders"]


def test_what_holds_up_what_is_shown_together(browser, write):
    browser.open(f"{write(small())}#blocks=1")
    assert names(browser) == ["fct_orders", "fct_kpis", "unique_kpis", "export_kpis"]
    rows = browser.js("[...document.querySelectorAll('.rows .why')].map(w => w.innerText)")
    assert rows == ["holds up 3 nodes", *["waits for model fct_orders, failed"] * 3]
    browser.open(write(Told().store))
    browser.press("b")
    assert browser.text("#shown") == "Nothing holds up anything."


def test_hundreds_of_failures_leave_room_for_the_nodes(browser, write):
    browser.open(write(large(100, message="wrong")))
    assert (
        browser.js(
            "[...document.querySelectorAll('.failure')].filter(f => f.checkVisibility()).length"
        )
        == 4
    )
    count = browser.js("document.querySelectorAll('.failure').length")
    assert browser.text(".failures summary") == f"and {count - 4} more nodes that failed"


def test_a_part_of_the_time_can_be_looked_at(browser, write):
    browser.open(f"{write(small())}#z=0-5.75")
    assert bars(browser, "ingest_rates")[1] == ["bar s-failed", 0, 17]
    browser.open(f"{write(small())}#z=nonsense-")
    assert bars(browser, "ingest_rates")[1] == ["bar s-failed", 0, 9]


def test_nothing_that_a_project_names_is_markup(browser, write):
    browser.open(write(hostile()))
    browser.press("j", "Enter")
    browser.wait("!document.querySelector('#panel').hidden")
    assert "owned" not in browser.js("document.title").replace("document.title='owned'", "")
    assert (
        browser.js("document.querySelectorAll('img, [onerror], a[href^=javascript]').length") == 0
    )
    assert browser.js("document.scripts.length") == 2


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_can_be_read_on_a_telephone_and_at_night(browser, write, dark, width):
    """Nothing is wider than the window, and each text differs enough from what is behind it."""
    browser.size(width, 800)
    browser.dark(dark)
    browser.open(f"{write(small())}#node=model.shop.fct_orders")
    browser.wait("!document.querySelector('#panel').hidden")
    assert browser.js("document.documentElement.scrollWidth") == width
    assert browser.js(CONTRASTS) == []


def test_fifteen_hundred_nodes_with_endless_messages_are_three_megabytes_at_most(
    browser, write, tmp_path
):
    store = large(1500, message="wrong\n" + "x" * 20_000)
    for node in store.run("20260301T120000Z-cccccc").nodes:
        if node.state == "failed":
            log = RunFiles(state_dir(tmp_path), "20260301T120000Z-cccccc").log(Attempt(node.id, 1))
            log.write_text("said\n" * 20_000)
    url = write(store)
    assert (tmp_path / "run.html").stat().st_size < 3_000_000
    browser.open(url)
    browser.wait("document.querySelectorAll('.rows .row').length === 1502")
    assert re.search(r"\d+ failed", browser.text("#chips"))


def test_what_cannot_be_written_is_said_before_anything_runs(tmp_path):
    for path, why in ((tmp_path, "it is no file"), (tmp_path / "no" / "x.html", "No such file")):
        with pytest.raises(UsageError, match=f"the report .* cannot be written: {why}"):
            make_room(path)
    earlier = tmp_path / "run.html"
    earlier.write_text("green")
    make_room(earlier)
    assert not earlier.exists()


CONTRASTS = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g)?.map(Number) ?? [0, 0, 0, 0], by = text.startsWith("color(srgb") ? 255 : 1; return [n[0] * by, n[1] * by, n[2] * by, n[3] ?? 1]; };
  const light = (c) => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility() || e.matches("script, title, .hidden, .bar")) continue;
    const drawn = e instanceof SVGElement, shape = drawn && e.parentNode.querySelector(".outline, circle");
    let behind = e, back = shape ? parse(getComputedStyle(shape).fill) : [0, 0, 0, 0];
    while (behind && back[3] < 1) { back = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
    const [a, b] = [light(parse(getComputedStyle(e)[drawn ? "fill" : "color"]).slice(0, 3)), light(back.slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${e.textContent.slice(0, 30)} ${e.getAttribute("class")}: ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""
