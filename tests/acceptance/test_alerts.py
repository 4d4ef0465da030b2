"""Alerts as the people in a Slack channel see them, over several runs and a kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.workspace import Workspace, eventually
from tests.slack_server import TOKEN, Slack, slack_server, slow

BROKEN = "select amont from {{ ref('stg_orders') }}"
FIXED = "select amount from {{ ref('stg_orders') }}"

FILES = {
    "models/stg_orders.sql": "select 1 as amount, '{{ var('x', 'y') }}' as x",
    "models/fct_orders.sql": BROKEN,
    "models/marts/fct_kpis.sql": "select * from {{ ref('fct_orders') }}",
    "models/schema.yml": """
        groups: [{name: finance, owner: {name: Finance, email: ana@example.com}}]
        models:
          - name: fct_orders
            config: {group: finance, meta: {dbtorch: {runbook: docs/orders.md}}}
        exposures:
          - name: weekly_kpis
            type: dashboard
            owner: {name: BI}
            depends_on: [ref('fct_kpis')]
    """,
}


@pytest.fixture
def server() -> Iterator[Slack]:
    with slack_server() as found:
        yield found


@pytest.fixture
def shop(workspace: Workspace, server: Slack) -> Workspace:
    workspace.write(FILES)
    configure(workspace, server)
    workspace.env |= {"SLACK_TOKEN": TOKEN, "DBT_ENV_SECRET_X": "hunter2"}
    return workspace


def configure(workspace: Workspace, server: Slack, more: str = "") -> None:
    workspace.write(
        {
            "dbtorch.yml": f"""
                alerts:
                  targets: "*"
                  slack:
                    token: "{{{{ env_var('SLACK_TOKEN') }}}}"
                    channel: C0000DATA
                    api_url: {server.url}
                  owners: {{Finance: {{mention: ana@example.com}}}}
                  runbook_base: https://git.example.com/shop/blob/main
                {more}
            """
        }
    )


def text_of(message: dict) -> str:
    parts = [block.get("text") or block["elements"][0] for block in message["blocks"]]
    return "\n".join(part["text"] for part in parts)


def test_a_channel_over_three_runs(shop: Workspace, server: Slack) -> None:
    shop.dbtorch("run", code=1)
    (card,) = server.top_level()
    (detail,) = server.thread(card["ts"])
    first = shop.show().id
    assert "pipeline default failed" in text_of(card)
    assert "<@U0000ANA>" in text_of(card)
    told = text_of(detail)
    for said in (
        "model fct_orders failed",
        "1 of 1, code failure",
        "amont",
        "weekly_kpis, fct_kpis",
        "https://git.example.com/shop/blob/main/docs/orders.md",
        f"dbtorch retry {first}",
        f".dbtorch/runs/{first}/nodes/model.shop.fct_orders.1.log",
    ):
        assert said in told, told
    assert (shop.dir / f".dbtorch/runs/{first}/nodes/model.shop.fct_orders.1.log").is_file()

    shop.dbtorch("run", code=1)
    assert len(server.top_level()) == 1  # nobody is disturbed a second time
    again = server.thread(card["ts"])[-1]
    assert "for the second run in a row" in text_of(again)
    assert "<@" not in text_of(again)

    shop.write({"models/fct_orders.sql": FIXED})
    shop.dbtorch("run")
    assert len(server.top_level()) == 1
    assert "model fct_orders works again" in text_of(server.thread(card["ts"])[-1])
    assert "pipeline default works again" in text_of(server.top_level()[0])
    listed = shop.dbtorch("alerts", "list", "--all", "--format", "json").json()
    assert {one["pending"] for one in listed} == {False}
    assert shop.dbtorch("alerts", "list").out == "nothing waits to be delivered\n"


def test_a_run_that_is_killed_while_slack_hangs_and_retried_tells_once(
    shop: Workspace, server: Slack
) -> None:
    configure(
        shop,
        server,
        """
                steps:
                  crawl: {command: "test -f go || sleep 600", opens_database: false}
        """,
    )
    server.always = slow(30.0)
    with shop.started("run", "--log-format", "json") as run:
        run.wait_for_node("model.shop.fct_orders", "failed")
        assert eventually(lambda: bool(server.calls))
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert shop.is_quiet()
    server.always = None
    waiting = shop.dbtorch("alerts", "list", "--format", "json").json()
    assert [one["kind"] for one in waiting] == ["card", "note"]
    shop.write({"go": ""})
    shop.dbtorch("retry", "latest", code=1)
    # The call that hung counts for nothing here: its answer is 30 seconds away.
    (card,) = server.top_level()
    assert "pipeline default failed" in text_of(card)
    first, second = server.thread(card["ts"])  # an event for each attempt, and none twice
    keys = [one["metadata"]["event_payload"]["key"] for one in (first, second)]
    assert [key.rpartition("/")[2] for key in keys] == ["1", "2"]
    assert "<@" not in text_of(second)


def test_what_a_run_could_not_deliver_is_said_and_flushed(shop: Workspace, server: Slack) -> None:
    shop.env["SLACK_TOKEN"] = "xoxb-wrong"
    done = shop.dbtorch("run", code=1)
    assert "2 alerts wait in the outbox" in done.all
    assert "invalid_auth" in done.all
    assert "xoxb" not in done.all
    assert server.messages == []
    assert "invalid_auth" in shop.dbtorch("alerts", "flush", code=1).out
    shop.env["SLACK_TOKEN"] = TOKEN
    assert "2 messages delivered, 0 left" in shop.dbtorch("alerts", "flush").out
    assert len(server.messages) == 2
    assert "0 messages delivered, 0 left" in shop.dbtorch("alerts", "flush").out
    shop.env.pop("SLACK_TOKEN")
    shop.write({"models/fct_orders.sql": FIXED})
    done = shop.dbtorch("run", "--select", "stg_orders")  # no token, no alerts, a run all the same
    assert "alerts.slack is off" in done.all
