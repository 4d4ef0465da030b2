"""What to do next, as commands to copy."""

from dataclasses import replace

from dbtorch.cli.text.advice import next_steps
from dbtorch.core.history.records import AttemptRecord, NodeRecord
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from tests.stores import NOON, a_run

SKIPPED = State.SKIPPED


def a_node(id, kind, state):
    tried = AttemptRecord(number=1, state=state, queued_at=NOON)
    name = id.partition(".")[2]
    return NodeRecord(id=id, kind=kind, name=name, state=state, attempts=(tried,))


def test_a_stale_source_is_loaded_again_by_the_step_that_produces_it():
    run = a_run(
        state=RunState.GATED,
        finished_at=NOON,
        nodes=(
            a_node("step.load", Kind.STEP, State.SUCCESS),
            a_node("step.other", Kind.STEP, State.SUCCESS),
            a_node("source.raw.orders", Kind.SOURCE, SKIPPED),
            a_node("source.raw.fresh", Kind.SOURCE, State.SUCCESS),
            a_node("model.orders", Kind.MODEL, SKIPPED),
            a_node("model.fresh", Kind.MODEL, State.SUCCESS),
        ),
        edges=(
            ("step.load", "source.raw.orders"),
            ("source.raw.orders", "model.orders"),
            ("step.other", "source.raw.fresh"),
            ("source.raw.fresh", "model.fresh"),
        ),
    )
    commands = [command for command, _ in next_steps(summarize(run))]
    again, load, _ = commands
    assert again.startswith("dbtorch retry")
    assert load.startswith("dbtorch rerun ")
    assert load.endswith(" --select step:load")


def test_hints_name_an_older_run_and_where_its_history_is():
    command = ("dbtorch", "retry", "r1", "--database-url=sqlite:///my runs.db", "-t", "prod")
    node = replace(a_node("model.orders", Kind.MODEL, State.FAILED), name="orders")
    run = a_run("r1", state=RunState.FAILED, finished_at=NOON, nodes=(node,))
    for latest, named, retried in ((True, "latest", ""), (False, "r1", " r1")):
        hints = next_steps(summarize(run, command=command, latest=latest))
        assert [command for command, _ in hints] == [
            f"dbtorch retry{retried} '--database-url=sqlite:///my runs.db'",
            f"dbtorch logs {named} orders '--database-url=sqlite:///my runs.db'",
            f"dbtorch show {named} '--database-url=sqlite:///my runs.db'",
        ]


def test_what_goes_on_with_a_run_uploads_where_the_run_did():
    words = ("dbtorch", "run", "--artifacts-url", "s3://bucket/runs", "--project-dir=shop")
    run = a_run(
        state=RunState.FAILED,
        finished_at=NOON,
        command=words,
        nodes=(a_node("step.load", Kind.STEP, State.FAILED),),
    )
    where = "--artifacts-url s3://bucket/runs --project-dir=shop"
    assert [command for command, _ in next_steps(summarize(run))] == [
        f"dbtorch retry {where}",
        f"dbtorch logs latest load {where}",
        "dbtorch show latest --project-dir=shop",
    ]
