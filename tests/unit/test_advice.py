"""What to do next, where a gate held something back."""

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
