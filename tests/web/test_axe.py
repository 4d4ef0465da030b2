"""axe-core finds nothing serious on any page, by day and by night."""

from importlib.resources import files

import pytest

from tests.web.shops import small
from tests.web.test_actions import acting  # noqa: F401
from tests.web.test_ui import RUN, TOKEN, shop, site, url  # noqa: F401

LOOK = """axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).then((found) =>
  found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).slice(0, 3).join(" ")}`))"""


@pytest.fixture(scope="module")
def axe():
    pytest.importorskip("axe_core_python")
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_the_pages(browser, acting, url, axe, dark):  # noqa: F811
    small(store=acting.store)
    browser.dark(dark)
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
        assert browser.js(LOOK) == [], path
    browser.open(f"{url}runs/{RUN}")
    browser.press("a")
    browser.wait("document.querySelector('dialog.act')")
    browser.js(axe)
    assert browser.js(LOOK) == []
    browser.js("document.querySelector('dialog').innerHTML = '<form><input name=x></form>'; 1")
    assert any(said.startswith("label: ") for said in browser.js(LOOK))  # it does look
