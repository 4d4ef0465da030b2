"""Pages over a history that goes away, shrinks, or holds markup wherever a text is."""

import shutil
import socket
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.model.events import Attempt
from dbtorch.core.model.state import State
from dbtorch.service.run.mark import mark
from dbtorch.web.app import PATIENCE, Site, application
from dbtorch.web.server import answering, hosts_of
from tests.proxy import Proxy
from tests.unit.story import Told
from tests.waiting import eventually
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


def test_no_page_stays_green_of_a_run_that_is_not_any_more(browser, site, url):  # noqa: F811
    Told(store=site.store, run_id=RUN)
    for path, sign in ((f"runs/{RUN}", "#run-state"), (f"runs/{RUN}/graph", "#run-state")):
        browser.open(url + path)
        assert browser.text(sign) == "✓ success"
        mark(site.store, RUN, "fct_orders", State.FAILED, reason="wrong")
        browser.js("dispatchEvent(new Event('focus')); 1")  # somebody comes back to it
        browser.wait(f"document.querySelector('{sign}')?.innerText === '✕ failed'")
        mark(site.store, RUN, "fct_orders", State.SUCCESS, reason="right")


def test_whoever_drives_a_run_may_die_while_somebody_looks(browser, site, url):  # noqa: F811
    live = Live(site.store)
    live.on(3)
    browser.open(f"{url}runs/{live.id}")
    assert browser.wait("document.querySelector('#live').innerText") == "live"
    lease = site.store.driver(live.id)
    site.store.release(lease)
    browser.wait("document.querySelector('#run-state')?.innerText === '⚡ interrupted'")
    assert "goes on where it stopped" in browser.wait("document.querySelector('.note')?.innerText")
    assert browser.js("document.querySelectorAll('.bar.open').length") == 0


def test_no_run_without_a_driver_is_running_among_the_bars(site, url):  # noqa: F811
    live = Live(site.store)
    live.on(3)
    assert 'class="s-running"' in ask(url, "/")[2]
    site.store.release(site.store.driver(live.id))
    assert eventually(lambda: 'class="s-interrupted"' in ask(url, "/")[2])
    (seen,), (listed,) = site.store.runs(counts=False), site.store.runs()
    assert (seen.counts, seen.run_id) == ({}, listed.run_id)
    assert listed.counts


def test_what_a_run_was_told_of_its_deadline_is_on_the_overview(site, url):  # noqa: F811
    live = Live(site.store)
    now = datetime.now(UTC)
    site.store.act(live.id, Action(action=Verb.AT_RISK, at=now, actor="dbtorch"))
    assert "deadline at risk" in ask(url, "/")[2]
    site.store.act(live.id, Action(action=Verb.DEADLINE, at=now, actor="dbtorch"))
    assert eventually(lambda: "deadline missed" in ask(url, "/")[2])


def test_a_clock_that_is_wrong_makes_no_bar_longer(browser, site, url):  # noqa: F811
    live = Live(site.store)
    live.on(3)
    browser.before_scripts("const now = Date.now; Date.now = () => now() + 7200e3;")
    browser.open(f"{url}runs/{live.id}")
    browser.wait("document.querySelector('#live').innerText === 'live'")
    assert (
        browser.js("Number(document.querySelector('#grid').style.getPropertyValue('--now'))") < 3600
    )
    live.finish()
    browser.wait("document.querySelector('#run-state').innerText === '✕ failed'")


def test_a_log_of_one_endless_line_and_half_characters(browser, site, url, shop):  # noqa: F811
    small(store=site.store)
    log = RunFiles(state_dir(shop), RUN).log(Attempt("model.shop.fct_orders", 1))
    log.write_text("\x1b[31m" + "ä" * (5 << 20) + "\nend\n")  # a piece ends within a character
    page = f"{url}runs/{RUN}/log?node=model.shop.fct_orders"
    browser.open(page)
    browser.wait("document.querySelector('#space').offsetHeight > 18 * 300")
    browser.press("G")
    browser.wait("document.querySelector('#log').innerText.trim().endsWith('end')")
    assert browser.js("document.querySelector('#log').innerText.includes('\\ufffd')") is False
    assert (
        browser.js(
            "Math.max(...[...document.querySelectorAll('.line')].map(l => l.innerText.length))"
        )
        < 20_000
    )
    text = f"/api/v1/runs/{RUN}/log?node=model.shop.fct_orders"
    assert ask(url, f"{text}&all=1")[2] == log.read_text()
    assert ask(url, f"{text}&from=999999999999999")[::2] == (200, "")


def test_as_many_may_watch_as_leave_room_for_others(site, url):  # noqa: F811
    live = Live(site.store)
    where = urlsplit(url)
    asked = f"GET /api/v1/runs/{live.id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with ExitStack() as watching:
        answers = []
        for _ in range(520):
            one = watching.enter_context(
                closing(socket.create_connection((where.hostname, where.port)))
            )
            one.sendall(asked)
            answers.append(one)
        codes = [one.recv(20).split()[1] for one in answers]
        assert set(codes) == {b"200", b"503"}
        assert codes.count(b"200") <= 500
    assert eventually(lambda: ask(url, "/api/v1/runs")[0] == 200)


def test_an_address_that_no_database_could_look_for_is_refused(url):  # noqa: F811
    for path in ("/runs/%00", "/api/v1/runs?pipeline=%00", "/node?node=a%00b"):
        assert ask(url, path)[0] == 400, path


def _remove(transaction):
    for table in ("attempts", "transitions", "run_nodes", "runs"):
        transaction.run(f"DELETE FROM dbtorch_{table}")


def test_a_file_of_a_history_goes_away_and_another_one_comes(shop):  # noqa: F811
    with closing(open_store(None, shop)) as own:
        small(store=own)
    with closing(open_store(None, shop, create=False)) as store:
        site = Site(project_dir=shop, name="shop", store=store, options=_options(shop))
        with answering(application(site, hosts_of("127.0.0.1", ())), "127.0.0.1", 0) as bound:
            url = f"http://127.0.0.1:{bound}/"
            assert ask(url, f"/runs/{RUN}")[0] == 200
            store._database._patience = 0.0
            shutil.rmtree(state_dir(shop))
            assert ask(url, f"/runs/{RUN}")[0] == 503  # what is gone is not shown as it was
            with closing(open_store(None, shop)) as own:
                Told(store=own, run_id="20260401T120000Z-eeeeee")
            assert ask(url, f"/runs/{RUN}")[0] == 404
            assert ask(url, "/runs/latest")[0] == 200


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


def test_a_server_ends_in_silence_whoever_watches(site, capfd):  # noqa: F811
    live = Live(site.store)
    app = application(site, hosts_of("127.0.0.1", ()))
    with closing(socket.socket()) as one:
        with answering(app, "127.0.0.1", 0) as port:
            one.connect(("127.0.0.1", port))
            one.sendall(
                f"GET /api/v1/runs/{live.id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
            heard = one.recv(1 << 16)
            assert heard.startswith(b"HTTP/1.1 200")
        while more := one.recv(1 << 16):
            heard += more
        assert heard.endswith(b"0\r\n\r\n")  # it was told that this is all
    assert capfd.readouterr() == ("", "")
