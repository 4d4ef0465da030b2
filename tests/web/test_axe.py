"""axe-core finds nothing serious on any page, by day and by night."""

from importlib.resources import files

import pytest

from tests.web.shops import small
from tests.web.test_actions import acting  # noqa: F401
from tests.web.test_ui import RUN, TOKEN, shop, site, url  # noqa: F401

LOOK = """axe.run(document, {runOnly: RULES,
  resultTypes: ["violations"], preload: false}).then((found) =>
  found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`))"""

#: By night colours are others, and nothing else is.
BY_DAY = '["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]'
BY_NIGHT = '{type: "rule", values: ["color-contrast"]}'

#: What is wrong in a dialog, and what is said of it; the page takes no style from a text.
WRONG = {
    BY_DAY: ("it.innerHTML = '<form><input name=x></form>'", "label: "),
    BY_NIGHT: ("it.style.color = it.style.background = '#555'", "color-contrast: "),
}


@pytest.fixture(scope="module")
def axe():
    pytest.importorskip("axe_core_python")
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("rules", [BY_DAY, BY_NIGHT], ids=["light", "dark"])
def test_everybody_can_read_the_pages(browser, acting, url, axe, rules):  # noqa: F811
    small(store=acting.store)
    browser.dark(rules == BY_NIGHT)
    look = LOOK.replace("RULES", rules)
    browser.open(f"{url}token#token={TOKEN}")
    browser.wait("document.querySelector('.pipelines')")
    node = "node=model.shop.fct_orders"
    for path in (
        "",
        f"runs/{RUN}#{node}",
        f"runs/{RUN}/log?{node}",
        f"runs/{RUN}/graph",
        "nodes",
        f"node?{node}",
        "runs/nobody",
    ):
        browser.open(url + path)
        browser.errors.clear()  # a page that is not there is one of them
        browser.js(axe)
        assert browser.js(look) == [], path
    browser.open(f"{url}runs/{RUN}")
    browser.press("a")
    browser.wait("document.querySelector('dialog.act')")
    browser.js(axe)
    assert browser.js(look) == []
    wrong, why = WRONG[rules]
    browser.js(f"(it => {{ {wrong} }})(document.querySelector('dialog'))")
    assert any(said.startswith(why) for said in browser.js(look))  # it does look
