"""`dbtorch serve` with a real dbt: a signed request, another pipeline's end, a file, a backfill."""

from __future__ import annotations

import base64
import hmac
import json
import time
import urllib.error
import urllib.request
from hashlib import sha256

from dbtorch.service.history.store import open_history
from tests.acceptance.workspace import Workspace
from tests.waiting import wait_for

SECRET = "a secret of twenty four"

FILES = {
    "models/orders.sql": "select 1 as id",
    "dbtorch.yml": """
        pipelines:
          asked:
            select: orders
            exclude: "step:*"
            on: {webhook: "{{ env_var('DBT_ENV_SECRET_HOOK') }}"}
            params: {country: {default: de, choices: [de, fr]}}
          after:
            select: step:tell
            on: {pipeline: asked}
          mend:
            select: step:tell
            on: {pipeline: asked, states: [failed]}
          landed:
            select: step:tell
            on: {file: landing/*.csv, every: 1s, stable: 0s}
          days:
            select: step:tell
            partition: {by: day, start: 2026-03-01}
        steps:
          tell: {command: "echo $DBTORCH_TRIGGER $DBTORCH_PARTITION >> told.txt"}
    """,
}


def post(port: int, body: bytes, *, id: str, secret: str = SECRET, path: str = "asked") -> int:
    """A signed request; answers the status."""
    at = int(time.time())
    digest = hmac.new(secret.encode(), f"{id}.{at}.".encode() + body, sha256).digest()
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/webhooks/{path}", body, headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def looked_at(workspace: Workspace, pipeline: str) -> bool:
    """Whether a server has seen how the conditions of a pipeline stand: what comes now is new."""
    with open_history(str(workspace.dir), None, environ=workspace.environ()) as store:
        schedules = store.ledger().schedules
    return any(key.pipeline == pipeline and "file" in one.seen for key, one in schedules.items())


def test_what_happens_starts_runs_and_what_is_hostile_starts_none(workspace: Workspace) -> None:
    workspace.write(FILES)
    (workspace.dir / "landing").mkdir()
    workspace.env["DBT_ENV_SECRET_HOOK"] = SECRET
    with workspace.started("serve", "--port", "0") as serve:
        port = json.loads(serve.wait_for('"http_answers"'))["port"]
        wait_for(lambda: looked_at(workspace, "landed"))

        good = json.dumps({"params": {"country": "fr"}}).encode()
        hostile = {
            401: post(port, good, id="m1", secret="another secret of 24"),
            404: post(port, good, id="m1", path="landed"),
            413: post(port, b"x" * 70_000, id="m1"),
            400: post(port, b"{", id="m1"),
            422: post(port, b'{"params": {"country": "xx"}}', id="m1"),
        }
        assert [*hostile] == [*hostile.values()]
        assert workspace.runs() == []

        assert post(port, good, id="m1") == 202
        assert post(port, good, id="m1") == 409
        serve.wait_for('"run_process_ended"', '"pipeline": "after"', '"exit_code": 0')
        (workspace.dir / "landing" / "a.csv").touch()
        serve.wait_for('"run_process_ended"', '"pipeline": "landed"', '"exit_code": 0')

        begun = workspace.dbtorch("backfill", "days", "--from", "2026-03-01", "--to", "2026-03-02")
        assert "`dbtorch serve` on" in begun.out
        serve.wait_for('"backfill_ended"', '"state": "done"')
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 200
    assert workspace.query("select id from orders") == [(1,)]
    assert workspace.lines("told.txt") == [
        "pipeline",
        "file",
        "backfill 2026-03-01",
        "backfill 2026-03-02",
    ]
    ran = {one["pipeline"]: one for one in workspace.runs()}
    assert sorted(one["pipeline"] for one in workspace.runs()) == [
        "after", "asked", "days", "days", "landed"
    ]  # fmt: skip
    asked = workspace.show(ran["asked"]["run_id"]).said
    assert (asked["triggered_by"]["kind"], asked["triggered_by"]["key"]) == ("webhook", "m1")
    assert asked["params"] == {"country": "fr"}
    triggers = {name: one["trigger"] for name, one in ran.items()}
    assert triggers == {
        **dict.fromkeys(("asked", "after", "landed"), "triggered"),
        "days": "backfill",
    }
