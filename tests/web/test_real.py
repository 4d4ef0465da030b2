"""`dbtorch ui` as people start it, over a real dbt: a run fails, is mended, and retried by a click."""

import signal
from urllib.parse import urlsplit

from tests.acceptance.workspace import Workspace
from tests.web.test_ui import ask

FILES = {
    "models/orders.sql": "select amont from (select 1 as amount)",
    "push.sh": """
        if [ ! -e tried ]; then touch tried; echo "the service is away"; exit 75; fi
        while [ ! -e go ]; do sleep 0.1; done
    """,
    "dbtorch.yml": """
        steps:
          push: {command: sh push.sh, after: [orders], retries: 1, retry_delay: 0s, opens_database: false}
    """,
}


def test_a_run_is_retried_by_a_click_and_seen_until_it_is_green(browser, tmp_path):
    workspace = Workspace(tmp_path / "shop", FILES)
    workspace.dbtorch("run", "--quiet", code=1)
    run = workspace.show().id
    with workspace.started("ui", "--port", "0") as ui:
        url = ui.wait_for(" shows shop").split()[0]
        acting = ui.wait_for("lets you act as well").split()[0]
        token = urlsplit(acting).fragment.removeprefix("token=")
        # where the target builds is known, so that its history is that of the pipeline
        home = ask(url, "/")[2]
        assert f"run {run} failed" in home
        assert "never run on this target" not in home

        browser.open(acting)
        browser.wait("document.querySelector('.pipelines')")
        browser.open(f"{url}runs/{run}")
        assert browser.text("#run-state") == "✕ failed"
        workspace.write({"models/orders.sql": "select amount from (select 1 as amount)"})
        browser.press("a")
        browser.write("column mended")
        browser.wait("document.querySelector('.act .command').innerText.includes('mended')")
        browser.press("Enter")
        browser.wait("document.querySelector('.act [role=status]').innerText === 'retry goes on'")
        browser.click(".act [type=button]")
        push = "document.querySelector('[data-id=\"step.push\"]')"
        # its first attempt has failed, the second goes on for longer and longer
        browser.wait(f"{push}?.querySelector('.bar.s-failed') && {push}.querySelector('.bar.open')")
        assert browser.text("#run-state") == "▶ running"
        browser.js("window.same = true")
        now = "Number(document.querySelector('#grid').style.getPropertyValue('--now'))"
        browser.wait(f"{now} > {browser.js(now)}")
        (workspace.dir / "go").touch()
        browser.wait("document.querySelector('#run-state').innerText === '✓ success'")
        assert browser.js("window.same")  # nothing was loaded again
        assert browser.js("document.querySelectorAll('.bar.open').length") == 0
        assert browser.js(
            "[...document.querySelectorAll('#acts button')].map(b => b.innerText)"
        ) == [
            "Rerun a part…",
            "Mark a node…",
        ]
        browser.click(".audit summary")
        audit = browser.text(".audit")
        assert "retry by" in audit
        assert audit.endswith(": column mended")
        assert workspace.show().tries == {"orders": 2, "push": 2}
        ui.signal(signal.SIGTERM)
        assert ui.ended().code == 0
    kept = [path for path in (workspace.dir / ".dbtorch").rglob("*") if path.is_file()]
    assert kept
    assert not any(token.encode() in path.read_bytes() for path in kept)
