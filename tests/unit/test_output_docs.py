"""docs/output.md has the fields that commands print, all of them, in their order."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbtorch.cli import errors
from dbtorch.cli.live.json_lines import JsonLines
from dbtorch.cli.live.output import Output
from dbtorch.cli.text.backfills import backfills_json, plan_json
from dbtorch.cli.text.doctor import findings_json
from dbtorch.cli.text.freshness import freshness_json
from dbtorch.cli.text.graph import graph_text
from dbtorch.cli.text.idempotency import idempotency_json
from dbtorch.cli.text.log import log_json
from dbtorch.cli.text.outbox import outbox_json
from dbtorch.cli.text.partitions import partitions_json
from dbtorch.cli.text.plan import plan_text
from dbtorch.cli.text.schedule import past_json, schedule_json
from dbtorch.cli.text.status import status_json
from dbtorch.core.checks.idempotency import DIGEST, Content
from dbtorch.core.history.health import Health, HealthFacts, Item
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.history.summary import summarize
from dbtorch.core.history.uploaded import Uploaded
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.core.schedule.backfill import Backfill, BackfillSpec, Part
from dbtorch.core.schedule.coverage import PartitionStatus, Status
from dbtorch.core.schedule.ledger import Pause, ScheduleKey, TickRecord
from dbtorch.core.schedule.partition import Grain, Partition
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.health.freshness import Check
from dbtorch.service.health.health import ProjectHealth
from dbtorch.service.history.logs import find_log
from dbtorch.service.idempotency.check import Checked
from dbtorch.service.idempotency.two_runs import Compared, Verdict
from dbtorch.service.schedule.backfill import BackfillPlan, BackfillRequest
from dbtorch.service.schedule.backfills import Progress
from dbtorch.service.schedule.partitions import PartitionTable
from dbtorch.service.schedule.upcoming import NextRun, PastTick, PipelineSchedule
from dbtorch.testing import FixedClock
from tests.alerts import a_card, a_delivery
from tests.unit.printed import runs, show
from tests.unit.story import NOON, broken_shop

PAGE = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")
FIELDS = {
    name: text.split()
    for name, text in re.findall(r"```text\n# ([\w -]+)\n(.*?)```", PAGE, re.DOTALL)
}


def schedules():
    """What `dbtorch schedule` prints."""
    covers = Interval(NOON - timedelta(days=1), NOON)
    upcoming = PipelineSchedule(
        pipeline="daily",
        timezone="UTC",
        paused=False,
        pause=Pause(at=NOON, by="ana@laptop"),
        next=(NextRun(run_at=NOON, interval=covers),),
    )
    (one,) = json.loads(schedule_json([upcoming]))
    tick = TickRecord(scheduled_for=NOON, interval=covers, due_at=NOON)
    (past,) = json.loads(past_json([PastTick(pipeline="daily", timezone="UTC", tick=tick)]))
    return {
        "schedule": one,
        "schedule pause": one["pause"],
        "schedule run": one["next"][0],
        "schedule past": past,
    }


def pasts():
    """What `dbtorch partitions`, `backfill --dry-run` and `backfills` print."""
    key, covers = ScheduleKey("daily", "dev (x)"), Interval(NOON - timedelta(days=1), NOON)
    one = PartitionStatus(partition=Partition("2026-02-28", covers), status=Status.MISSING)
    of = {"of": "pipeline daily", "by": Grain.DAY, "timezone": "UTC", "target": "dev"}
    table = json.loads(partitions_json(PartitionTable(**of, place=key.place, found=(one,))))
    part = Part(ordinal=0, key=one.partition.key, interval=covers)
    plan = BackfillPlan(
        key=key,
        target="dev",
        request=BackfillRequest(),
        parts=(part,),
        partitions=1,
        chosen=(one,),
        left=0,
        touches=("orders",),
    )
    dry = json.loads(plan_json(plan))
    begun = Backfill(id="b-1", key=key, spec=BackfillSpec(), created_at=NOON, parts=(part,))
    (going,) = json.loads(backfills_json([Progress(backfill=begun, at=NOON, driven=False, left=1)]))
    return {
        "partitions": table,
        "partitions partition": table["partitions"][0],
        "backfill": dry,
        "backfill run": dry["runs"][0],
        "backfills": going,
        "backfills run": going["runs"][0],
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each kind of document and event is an example of, by its name on the page."""
    told, lines = broken_shop(), []
    known = {"echo": lines.append, "clock": FixedClock(NOON), "zone": UTC, "format": "json"}
    run_id = told.record.run_id
    told.store.act(run_id, Action(action=Verb.MARK, at=NOON, actor="ana@here"))
    show(told.store, "latest", **known)
    runs(told.store, **known)
    shown, listed = map(json.loads, lines)
    plan, graph = (json.loads(f(told.plan, format="json")) for f in (plan_text, graph_text))
    found = {
        "show": shown,
        "show node": shown["nodes"][0],
        "show action": shown["actions"][0],
        "show attempt": shown["nodes"][0]["attempts"][0],
        "runs": listed[0],
        "plan": plan,
        "plan node": plan["nodes"][0],
        "graph": graph,
        "graph node": graph["nodes"][0],
        **schedules(),
        **pasts(),
        **others(told, tmp_path_factory.mktemp("shop")),
    }
    for event in events(told):
        found.setdefault(f"event {event['event']}", event)
    found["event failure"] = found["event run_finished"]["failures"][0]
    found["event uploaded"] = found["event run_finished"]["uploaded"]
    found["event left_out"] = found["event run_finished"]["left_out"][0]
    assert found.pop("event session").keys() == found["event node"].keys()
    return found


def others(told, folder):
    """The documents of commands that are about more than a history."""
    node = told.plan.graph.nodes["model.shop.stg_orders"]
    item = Item(kind="model", id=node.id, name=node.name, health=Health.OK)
    health = ProjectHealth(
        project="shop",
        standing=HealthFacts(),
        items=(item,),
        at=NOON,
        nodes=(),
        edges=(),
        complete=True,
    )
    health = json.loads(status_json(health))
    outcome = Outcome(state=State.SUCCESS)
    check = Check(source=node, limits=Thresholds(), outcome=outcome, behind=())
    sources = json.loads(freshness_json([check]))
    content = Content(rows=1, columns={"id": "1"}, digests=b"x" * DIGEST)
    compared = Compared(name="shop.orders", first=content, second=content)
    repeated = SimpleNamespace(
        subject=SimpleNamespace(id=node.id),
        scratch=SimpleNamespace(target="dev", title="dev (duckdb)"),
        run_context=SimpleNamespace(interval=Interval(None, NOON)),
    )
    verdict = Verdict(relations=(compared,), failure="")
    idempotent = json.loads(idempotency_json(Checked(check=repeated, verdict=verdict)))
    log = json.loads(log_json(find_log(told.store, "latest", node.id, project_dir=folder)))
    return {
        "logs": log,
        "status": health,
        "status item": health["nodes"][0],
        "freshness": sources,
        "freshness source": sources["sources"][0],
        "check-idempotent": idempotent,
        "check-idempotent relation": idempotent["relations"][0],
        "doctor": json.loads(findings_json([Finding("dbt", ok=True, found="1.11")]))[0],
        "alerts list": json.loads(outbox_json([a_delivery(a_card())]))[0],
    }


def events(told):
    stream = io.StringIO()
    view = JsonLines(Output(stream), FixedClock(NOON))
    view.start(told.plan, told.record)
    view.note("so it is", level="info")
    view.warned(DbtWarning(name="Deprecated", text="old"))
    view.changed(told.changes)
    uploaded = Uploaded(url="s3://bucket/shop/r1", files=12, left=0)
    view.finish(summarize(told.kept(), uploaded=uploaded))
    return map(json.loads, stream.getvalue().splitlines())


def test_each_document_has_the_fields_on_the_page(printed):
    assert {name: list(found) for name, found in printed.items()} == FIELDS


def test_each_document_says_its_version(printed):
    documents = ("show", "plan", "graph", "logs", "status", "freshness", "check-idempotent")
    for name in (*documents, "partitions", "backfill", "event run_started"):
        assert printed[name]["schema_version"] == 1


def test_times_are_iso_8601_in_utc(printed):
    for name, found in printed.items():
        for field, value in found.items():
            if value is not None and (field.endswith("_at") or field == "ts"):
                assert datetime.fromisoformat(value).utcoffset().total_seconds() == 0, (name, field)


def test_each_kind_of_reason_is_on_the_page_and_has_a_sentence():
    table = PAGE.split("### Reasons")[1].split("### ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(
        [kind.value for kind in ReasonKind if kind.value] + ["null", "reason_kind"]
    )
    for kind in ReasonKind:
        sentence = str(Reason(kind, ("model.a",), "what was said"))
        assert bool(sentence) == (kind is not ReasonKind.NONE)
        assert "{" not in sentence


def test_exit_codes_are_those_of_the_command_line():
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", PAGE, re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [
        (value, name)
        for name, value in vars(errors).items()
        if name.isupper() and type(value) is int
    ]


def test_each_variable_that_is_read_from_the_environment_is_on_the_page():
    package = Path(errors.__file__).parents[1]
    read = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(
            r"(?:environ\.get\(|VARIABLE = )\"(DBTORCH_\w+)\"", path.read_text(encoding="utf-8")
        )
    }
    section = PAGE.split("## Environment variables")[1].split("## ")[0]
    assert read == {*re.findall(r"^\| `(DBTORCH_\w+)`", section, re.MULTILINE)}
