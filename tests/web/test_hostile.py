"""Pages over a history that goes away, shrinks, or holds markup wherever a text is."""

from contextlib import closing
from urllib.parse import quote, urlsplit

from dbtorch.adapters.store import open_store
from dbtorch.web.app import PATIENCE, Site, application
from dbtorch.web.server import answering, hosts_of
from tests.proxy import Proxy
from tests.web.shops import hostile, small
from tests.web.test_ui import RUN, Live, ask, shop, site, url  # noqa: F401


def test_whatever_a_project_is_called_it_is_text_on_every_page(browser, shop):  # noqa: F811
    store = hostile()
    (run,) = store.runs()
    (node,) = [one for one in store.run(run.run_id).nodes if one.kind == "model"]
    (shop / "dbtorch.yml").unlink()
    site = Site(  # noqa: F811
        project_dir=shop, name=node.name, store=store, options=_options(shop), acting="t" * 16
    )
    with answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/"
        browser.open(f"{url}token#token={'t' * 16}")
        browser.wait("document.querySelector('.pipelines')")
        log = f"runs/{run.run_id}/log?node={quote(node.id)}"
        asked = f"node={quote(node.id)}"
        for path in (
            "",
            f"runs/{run.run_id}#{asked}",
            log,
            f"runs/{run.run_id}/graph",
            "nodes",
            f"node?{asked}",
        ):
            browser.open(url + path)
            browser.wait("document.title !== ''")
            assert browser.js("document.title") != "owned", path
            assert (
                browser.js("document.querySelectorAll('img, main script:not([type])').length") == 0
            )
            assert browser.js("document.querySelectorAll('a[href^=\"javascript:\"]').length") == 0


def _options(folder):
    from dbtorch.service.project.options import RunOptions

    return RunOptions(project_dir=str(folder), environ={})


def test_a_run_may_be_removed_while_somebody_looks_at_it(browser, site, url):  # noqa: F811
    small(store=site.store)
    live = Live(site.store)
    live.on(3)
    browser.open(f"{url}runs/{live.id}")
    assert browser.wait("document.querySelector('#live').innerText") == "live"
    assert ask(url, f"/runs/{RUN}")[0] == 200  # which is kept from here on
    site.store._database.write(_remove)
    browser.wait("document.querySelector('#live').innerText.includes('was removed')")
    for run in (live.id, RUN):
        for path in (f"/runs/{run}", f"/runs/{run}/graph", f"/runs/{run}/log?node=fct_orders"):
            status, _, text = ask(url, path)
            assert (status, "there is no run" in text) == (404, True), path
        assert ask(url, f"/api/v1/runs/{run}/changes")[0] == 404
    assert ask(url, "/")[0] == 200


def _remove(transaction):
    for table in ("attempts", "transitions", "run_nodes", "runs"):
        transaction.run(f"DELETE FROM dbtorch_{table}")


def test_a_history_goes_away_and_comes_back(browser, shop, postgres_url):  # noqa: F811
    there = urlsplit(postgres_url)
    proxy = Proxy(there.hostname, there.port or 5432)
    port = proxy.port
    place = there._replace(netloc=there.netloc.rpartition("@")[0] + f"@127.0.0.1:{port}")
    with (
        closing(open_store(postgres_url, shop)) as own,
        closing(open_store(place.geturl(), shop)) as store,
    ):
        live = Live(own)
        live.on(2)
        site = Site(
            project_dir=shop,
            name="shop",
            store=store.apart(patience=PATIENCE),
            options=_options(shop),
        )
        with answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as bound:
            url = f"http://127.0.0.1:{bound}/"
            browser.open(f"{url}runs/{live.id}")
            assert browser.wait("document.querySelector('#live').innerText") == "live"
            proxy.close()
            browser.wait("document.querySelector('#live').innerText.startsWith('the history does')")
            for path in (f"/runs/{live.id}", "/", "/api/v1/runs"):
                status, _, text = ask(url, path)
                assert (status, "the history does not answer" in text) == (503, True)
                assert there.hostname not in text or there.hostname == "127.0.0.1"
                assert str(port) not in text
            proxy = Proxy(there.hostname, there.port or 5432, at=port)
            live.finish()
            browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")
            assert ask(url, f"/runs/{live.id}")[0] == 200
        proxy.close()
