"""What stays and what runs again when a run goes on."""

from dataclasses import replace

import pytest

from dbtorch.app.earlier import built, differences, is_marked, outputs
from dbtorch.app.marking import mark
from dbtorch.app.resume import ResumeSpec, resume, unwatched
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord, Transition
from dbtorch.core.model.events import NOTHING_EXECUTED, Attempt
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import OnFailure, Policy, Retry
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import Plan, with_session
from dbtorch.core.run.machine import Run
from tests.stores import NOON, after

LOST = Reason(ReasonKind.SUPERVISOR_LOST, text="pid 7 on box")

#: load -> orders -> t (a test) -> report; orders -> report; beside it a bystander.
KINDS = {
    "load": Kind.STEP,
    "orders": Kind.MODEL,
    "t": Kind.TEST,
    "report": Kind.MODEL,
    "bystander": Kind.MODEL,
}
EDGES = (("load", "orders"), ("orders", "t"), ("orders", "report"), ("t", "report"))
BLOCKED = {"t": "upstream_failed", "report": "upstream_failed"}


def a_plan(*, edges=EDGES, kinds=KINDS, policies=None, **checksums):
    nodes = [
        Node(id=id, kind=kind, name=id, path=f"models/{id}.sql", checksum=checksums.get(id, "1"))
        for id, kind in kinds.items()
    ]
    engine = frozenset(id for id, kind in kinds.items() if kind is not Kind.STEP)
    graph, policies = with_session(
        nodes, edges, engine, policies or {}, retry=Retry.times(0, delay=0)
    )
    return Plan(graph=graph, policies=policies)


def a_run(**states):
    """A run in which everything succeeded, but for what is said."""
    nodes = []
    for id, kind in {**KINDS, "session.open": Kind.SESSION, "session.close": Kind.SESSION}.items():
        state = State(states.pop(id, "success"))
        path = f"models/{id}.sql"
        node = NodeRecord(id=id, kind=kind, name=id, state=state, path=path, checksum="1")
        nodes.append(replace(node, attempts=attempts(state)))
    assert not states
    move = Transition(
        node_id="load", attempt=1, before=State.PENDING, state=State.QUEUED, at=after(5)
    )
    return RunRecord(
        run_id="r1",
        pipeline="default",
        project="shop",
        target="dev",
        logical_date=NOON,
        data_interval_start=NOON,
        data_interval_end=NOON,
        state=RunState.FAILED,
        started_at=NOON,
        host="box",
        pid=7,
        nodes=tuple(nodes),
        transitions=(move,),
    )


def attempts(state):
    if state in (State.PENDING, State.UPSTREAM_FAILED, State.SKIPPED):
        return ()
    tried = State.FAILED if state is State.UP_FOR_RETRY else state
    details = {"status": "success" if state.ok else "error"}
    return (AttemptRecord(number=1, state=tried, queued_at=NOON, details=details),)


def marked(run, id, state):
    """The run after somebody has marked a node."""
    (node,) = [node for node in run.nodes if node.id == id]
    said = mark(run, node, state, Reason(ReasonKind.MARKED, text="failed"), after(50))
    (change,) = [change for change in said.changes if change.node_id == id]
    nodes = tuple(replace(n, state=change.state) if n is node else n for n in run.nodes)
    return replace(run, nodes=nodes, state=said.run_state)


def executed(resumed, plan):
    """What a run executes that goes on like this, everything going well; ends of dbt left out."""
    from dbtorch.core.model.events import Finished
    from dbtorch.testing import SUCCEEDS

    run = Run(plan, random=lambda: 0.5, prior=resumed.prior)
    found: list[Attempt] = []
    while not run.finished:
        batches = run.due(NOW).batches
        assert batches, "the run is stuck"
        for batch in batches:
            found += batch.attempts
            run.record(Finished(batch.attempts[0], SUCCEEDS), NOW)
    return {a.node_id: a.number for a in found if not a.node_id.startswith("session.")}


NOW = after(100)
ALL = {"load", "orders", "t", "report", "bystander"}


@pytest.mark.parametrize(
    ("states", "again"),
    [
        ({}, set()),
        # what failed, and what waited for it
        ({"orders": "failed", **BLOCKED}, {"orders", "t", "report"}),
        ({"t": "failed", "report": "upstream_failed"}, {"t", "report"}),
        # whatever it was doing when the supervisor died
        ({"load": "running", "orders": "pending", "t": "pending", "report": "pending"},
         {"load", "orders", "t", "report"}),
        ({"report": "queued"}, {"report"}),
        ({"report": "up_for_retry"}, {"report"}),
        ({"report": "cancelled", "bystander": "skipped"}, {"report", "bystander"}),
        # failed, and those after it ran all the same: they have seen nothing of it
        ({"orders": "failed"}, {"orders", "t", "report"}),
        # a test that did not block builds nothing, so nothing is to be built again
        ({"t": "failed"}, {"t"}),
        ({"t": "warn"}, set()),
    ],
)  # fmt: skip
def test_what_did_not_succeed_runs_again_with_what_depends_on_it(states, again):
    plan = a_plan()
    earlier = a_run(**states)
    resumed = resume(earlier, plan, ResumeSpec(), NOW)
    # an attempt that had not begun was none
    tries = {node.id: len(node.attempts) - (node.state == "queued") for node in earlier.nodes}
    assert executed(resumed, plan) == {id: tries[id] + 1 for id in again}
    pending = {node.id for node in resumed.before if node.state is State.PENDING}
    assert pending == again | {"session.open", "session.close"}


def test_what_had_begun_is_lost_at_the_last_sign_of_life():
    resumed = resume(a_run(load="queued", orders="running"), a_plan(), ResumeSpec(), NOW)
    lost = [change for change in resumed.changes if change.state is State.FAILED]
    assert [(c.node_id, c.attempt, c.at, c.reason) for c in lost] == [
        ("load", 1, after(5), LOST),  # a step may have begun without anybody having heard of it
        ("orders", 1, after(5), LOST),
    ]
    outcome = lost[0].outcome
    assert (outcome.state, outcome.failure_class, outcome.lost) == (
        State.FAILED,
        FailureClass.TRANSIENT,
        True,
    )
    moves = [(c.before, c.state) for c in resumed.changes if c.node_id == "orders"]
    assert moves == [(State.RUNNING, State.FAILED), (State.FAILED, State.PENDING)]


def test_what_dbt_had_not_begun_waits_as_before():
    resumed = resume(a_run(report="queued"), a_plan(), ResumeSpec(), NOW)
    (change,) = [change for change in resumed.changes if change.node_id == "report"]
    assert (change.before, change.state) == (State.QUEUED, State.PENDING)
    assert (change.attempt, change.at, change.reason) == (0, after(5), LOST)
    assert change.outcome is None
    assert resumed.prior["report"].attempts == 0
    (report,) = [node for node in resumed.before if node.id == "report"]
    assert (report.state, report.attempts) == (State.PENDING, ())


@pytest.mark.parametrize(
    ("checksums", "again", "changed"),
    [
        ({"bystander": "2"}, {"bystander"}, ("bystander",)),
        ({"orders": "2"}, {"orders", "t", "report"}, ("orders",)),
        ({"load": "2", "report": "2"}, {"load", "orders", "t", "report"}, ("load", "report")),
        ({"t": "2"}, {"t"}, ("t",)),  # another test, the same data
        ({"orders": ""}, set(), ()),  # written by a dbtorch that did not know
    ],
)
def test_what_has_changed_runs_again_and_says_why(checksums, again, changed):
    plan = a_plan(**checksums)
    resumed = resume(a_run(), plan, ResumeSpec(), NOW)
    assert executed(resumed, plan).keys() == again
    assert resumed.changed == changed
    reasons = {change.node_id: change.reason for change in resumed.changes}
    for id in changed:
        where = "step load" if id == "load" else f"models/{id}.sql"
        assert reasons[id] == Reason(ReasonKind.CODE_CHANGED, text=where)
    if "t" in again and "orders" in changed:
        assert reasons["t"] == Reason(ReasonKind.UPSTREAM_RUNS_AGAIN, ("orders",))


def test_what_stays_keeps_the_code_it_ran_with():
    wish = ResumeSpec(again=frozenset({"report"}), nothing_else=True)
    resumed = resume(a_run(), a_plan(orders="2", report="2"), wish, NOW)
    assert {node.id: node.checksum for node in resumed.nodes if node.checksum} == {
        "load": "1",
        "orders": "1",
        "t": "1",
        "report": "2",
        "bystander": "1",
    }


def test_new_nodes_run_and_those_that_have_gone_are_told_once():
    kinds = {**{id: KINDS[id] for id in ("load", "orders", "t")}, "fresh": Kind.MODEL}
    plan = a_plan(kinds=kinds, edges=EDGES[:2])
    resumed = resume(a_run(report="failed", bystander="pending"), plan, ResumeSpec(), NOW)
    assert executed(resumed, plan) == {"fresh": 1}
    assert resumed.gone == ("report", "bystander")
    gone = {change.node_id: (change.state, change.reason) for change in resumed.changes}
    told = (State.REMOVED, Reason(ReasonKind.REMOVED))
    assert gone["report"] == gone["bystander"] == told
    again = resume(a_run(report="removed", bystander="removed"), plan, ResumeSpec(), NOW)
    assert again.gone == ()
    assert not {"report", "bystander"} & {change.node_id for change in again.changes}
    assert differences(a_run(), plan.graph) == [
        "models/fresh.sql (new)",
        "models/bystander.sql (gone)",
        "models/report.sql (gone)",
    ]


def test_code_is_the_same_or_is_named():
    assert differences(a_run(orders="failed", **BLOCKED), a_plan().graph) == []
    found = differences(a_run(orders="failed", **BLOCKED), a_plan(orders="2", load="2").graph)
    assert found == ["models/orders.sql", "step load"]


# ---------------------------------------------------------------- asked for


@pytest.mark.parametrize(
    ("states", "wish", "again"),
    [
        # from a node: it, what is after it, and what did not succeed
        ({}, ResumeSpec(again=frozenset({"orders"})), {"orders", "t", "report"}),
        ({"bystander": "failed"}, ResumeSpec(again=frozenset({"report"})), {"report", "bystander"}),
        # rerun: what is selected and what depends on it, and nothing else
        ({}, ResumeSpec(again=frozenset({"orders"}), nothing_else=True), {"orders", "t", "report"}),
        ({"bystander": "failed"}, ResumeSpec(again=frozenset({"report"}), nothing_else=True), {"report"}),
        # excluded: it stays, and what depends on it alone does
        ({}, ResumeSpec(again=frozenset({"orders"}), never=frozenset({"report"}), nothing_else=True),
         {"orders", "t"}),
        ({}, ResumeSpec(again=frozenset({"t"}), nothing_else=True), {"t"}),
        # what never ended is run, or the run would never end
        ({"bystander": "running"}, ResumeSpec(again=frozenset({"report"}), nothing_else=True),
         {"report", "bystander"}),
        # behind a failure that stays nothing can run
        ({"orders": "failed", **BLOCKED}, ResumeSpec(again=frozenset({"report"}), nothing_else=True),
         set()),
        ({"load": "failed", "orders": "pending", "t": "pending", "report": "pending"},
         ResumeSpec(again=frozenset({"bystander"}), nothing_else=True), {"bystander"}),
    ],
)  # fmt: skip
def test_a_part_of_a_run_is_run_again(states, wish, again):
    plan = a_plan()
    resumed = resume(a_run(**states), plan, wish, NOW)
    assert executed(resumed, plan).keys() == again


def test_what_stays_behind_a_failure_says_which():
    wish = ResumeSpec(again=frozenset({"report", "bystander"}), nothing_else=True)
    resumed = resume(a_run(orders="failed", **BLOCKED), a_plan(), wish, NOW)
    assert resumed.blocked == {"report": "orders"}
    assert {change.node_id for change in resumed.changes} == {
        "bystander",
        "session.open",
        "session.close",
    }


def test_a_failure_that_does_not_block_does_not_block_a_rerun():
    plan = a_plan(policies={"orders": Policy(on_failure=OnFailure.CONTINUE)})
    wish = ResumeSpec(again=frozenset({"report"}), nothing_else=True)
    resumed = resume(a_run(orders="failed"), plan, wish, NOW)
    assert executed(resumed, plan).keys() == {"report"}


# ---------------------------------------------------------------- marks


@pytest.mark.parametrize(
    ("states", "id", "state", "becomes", "again"),
    [
        # behind a node that is good now, the rest runs
        ({"orders": "failed", **BLOCKED}, "orders", "success", "failed", {"t", "report"}),
        ({"report": "failed"}, "report", "success", "success", set()),
        ({"report": "failed", "bystander": "skipped"}, "report", "success", "success", {"bystander"}),
        # data that is bad after all: it, and what was made of it
        ({}, "orders", "failed", "failed", {"orders", "t", "report"}),
        ({}, "t", "failed", "failed", {"t"}),
    ],
)  # fmt: skip
def test_a_retry_goes_on_from_what_was_marked(states, id, state, becomes, again):
    plan = a_plan()
    run = marked(a_run(**states), id, State(state))
    assert run.state == becomes
    assert executed(resume(run, plan, ResumeSpec(), NOW), plan).keys() == again


def test_a_mark_says_how_the_data_is_whatever_the_code():
    plan = a_plan(orders="2")
    run = marked(a_run(orders="failed", **BLOCKED), "orders", State.SUCCESS)
    assert executed(resume(run, plan, ResumeSpec(), NOW), plan).keys() == {"t", "report"}


def test_a_mark_on_an_interrupted_run_takes_it_over_and_leaves_it_interrupted():
    run = replace(a_run(orders="running", report="pending", t="pending"), state=RunState.RUNNING)
    (node,) = [node for node in run.nodes if node.id == "report"]
    said = mark(run, node, State.SUCCESS, Reason(ReasonKind.MARKED, text="by hand"), after(50))
    assert said.run_state is RunState.RUNNING
    assert [(c.node_id, c.before, c.state) for c in said.changes] == [
        ("orders", State.RUNNING, State.FAILED),
        ("report", State.PENDING, State.SUCCESS),
    ]
    (node,) = [node for node in run.nodes if node.id == "orders"]
    said = mark(run, node, State.SUCCESS, Reason(ReasonKind.MARKED, text="by hand"), after(50))
    assert [(c.before, c.state) for c in said.changes] == [
        (State.RUNNING, State.FAILED),
        (State.FAILED, State.SUCCESS),
    ]


def test_results_of_what_stays_say_what_dbt_saw():
    run = a_run(report="failed", t="failed", bystander="upstream_failed")
    run = marked(marked(run, "report", State.SUCCESS), "orders", State.FAILED)
    assert is_marked(next(node for node in run.nodes if node.id == "report"))
    wish = ResumeSpec(again=frozenset({"load"}), never=frozenset(ALL) - {"load"}, nothing_else=True)
    found = resume(run, a_plan(), wish, NOW).results
    assert {id: result["status"] for id, result in found.items()} == {
        "orders": "error",  # dbt saw a success, and somebody knows better
        "t": "error",
        "report": "skipped",  # dbt never saw a success
        "bystander": "skipped",
    }


def test_outputs_are_those_of_steps_that_succeeded():
    run = a_run()
    load = replace(run.nodes[0], attempts=(replace(run.nodes[0].attempts[0], output={"rows": 1}),))
    assert outputs(replace(run, nodes=(load, *run.nodes[1:]))) == {"load": {"rows": 1}}
    failed = replace(load, attempts=(replace(load.attempts[0], state=State.FAILED),))
    assert outputs(replace(run, nodes=(failed, *run.nodes[1:]))) == {}  # marked, nothing returned


#: load -> raw (a source) -> orders -> report.
OVER_A_SOURCE = {
    "edges": (("load", "raw"), ("load", "orders"), ("raw", "orders"), ("orders", "report")),
    "kinds": {"load": Kind.STEP, "raw": Kind.SOURCE, "orders": Kind.MODEL, "report": Kind.MODEL},
}


@pytest.mark.parametrize(
    ("source", "orders", "report", "again"),
    [
        # it was stale: what fills it runs again as well
        ("skipped", "skipped", "skipped", {"load", "raw", "orders", "report"}),
        ("success", "failed", "upstream_failed", {"raw", "orders", "report"}),
        # nothing that reads it runs, and its check makes nothing run
        ("success", "success", "failed", {"report"}),
    ],
)
def test_a_source_is_checked_anew_before_what_runs_again(source, orders, report, again):
    earlier = a_run(t="success", orders=orders, report=report)
    checked = AttemptRecord(number=1, state=State(source), queued_at=NOON)
    raw = NodeRecord(
        id="raw", kind=Kind.SOURCE, name="raw", state=State(source), attempts=(checked,)
    )
    earlier = replace(earlier, nodes=(*earlier.nodes, raw))
    resumed = resume(earlier, a_plan(**OVER_A_SOURCE), ResumeSpec(), NOON)
    back = {change.node_id for change in resumed.changes if change.state is State.PENDING}
    assert {id for id in back if not id.startswith("session.")} == again


@pytest.mark.parametrize(
    ("states", "wish", "anew"),
    [
        ({"report": "failed"}, ResumeSpec(), set()),
        ({"report": "pending"}, ResumeSpec(), set()),
        ({"t": "failed", "report": "upstream_failed"}, ResumeSpec(), set()),
        ({"orders": "failed", **BLOCKED}, ResumeSpec(), {"t", "report"}),
        ({"load": "failed", "report": "failed"}, ResumeSpec(), {"orders", "t", "report"}),
        ({}, ResumeSpec(again=frozenset({"report"})), {"report"}),
    ],
)
def test_what_was_done_or_builds_on_what_runs_again_begins_anew(states, wish, anew):
    resumed = resume(a_run(**states), a_plan(), wish, NOW)
    assert resumed.anew == anew


def unwatched_run(**states):
    """A run of which some engine has built microbatch models without waiting to be heard."""
    return replace(a_run(**states), options={"unwatched_microbatches": ["orders", "report"]})


@pytest.mark.parametrize(
    ("states", "unsettled"),
    [
        ({}, set()),
        ({"orders": "failed", **BLOCKED}, {"orders"}),
        ({"orders": "running", "t": "pending", "report": "pending"}, {"orders"}),
        ({"orders": "queued", "t": "queued", "report": "pending"}, {"orders"}),
        ({"t": "failed", "report": "cancelled"}, {"report"}),
    ],
)
def test_what_may_be_built_in_part_is_not_taken_for_untouched(states, unsettled):
    resumed = resume(unwatched_run(**states), a_plan(), ResumeSpec(), NOW)
    assert resumed.unsettled == unsettled
    assert resume(a_run(**states), a_plan(), ResumeSpec(), NOW).unsettled == set()


def test_what_failed_before_anything_of_it_was_executed_is_as_it_was():
    run = unwatched_run(orders="failed")
    orders = run.nodes[next(n for n, node in enumerate(run.nodes) if node.id == "orders")]
    tried = orders.attempts[0]
    unseen = replace(tried, details={**tried.details, NOTHING_EXECUTED: True})

    def unsettled(*attempts, gone=frozenset()):
        nodes = [replace(n, attempts=attempts) if n.id == "orders" else n for n in run.nodes]
        earlier = replace(run, nodes=tuple(nodes))
        return resume(earlier, a_plan(), ResumeSpec(gone=gone), NOW).unsettled

    assert unsettled(unseen, unseen) == set()
    assert unsettled(tried, unseen) == {"orders"}
    assert unsettled(tried, gone=frozenset({"orders"})) == set()  # all of it is to be built


def test_of_a_microbatch_model_that_failed_what_is_built_counts_unless_its_relation_is_gone():
    run, plan = a_run(orders="failed"), a_plan()
    nodes = [replace(n, splits=n.id == "orders") for n in plan.graph.nodes.values()]
    plan = replace(plan, graph=Graph(nodes, EDGES))
    run = replace(run, nodes=tuple(replace(n, materialized="incremental") for n in run.nodes))
    assert "orders" in built(run, plan.graph)
    assert "orders" not in built(run, a_plan().graph)
    assert "orders" not in resume(run, plan, ResumeSpec(), NOW).anew
    assert "orders" in resume(run, plan, ResumeSpec(gone=frozenset({"orders"})), NOW).anew


def test_who_builds_microbatch_models_unwatched_is_kept_with_the_run():
    plan = a_plan()
    nodes = [replace(n, splits=n.id in ("orders", "t")) for n in plan.graph.nodes.values()]
    plan = replace(plan, graph=Graph(nodes, EDGES))
    assert unwatched(None, plan) == {}
    assert unwatched(unwatched_run(), plan) == unwatched_run().options
    found = unwatched(unwatched_run(), replace(plan, batches=2))
    assert found == {"unwatched_microbatches": ["orders", "report", "t"]}


def test_what_was_dropped_since_runs_again_with_what_comes_after_it():
    run = a_run(bystander="failed")
    nodes = [replace(n, materialized="table" if n.id == "orders" else "mine") for n in run.nodes]
    run = replace(run, nodes=tuple(nodes))
    plan = a_plan()
    assert built(run, plan.graph) == ["orders"]
    resumed = resume(run, plan, ResumeSpec(gone=frozenset({"orders"})), NOW)
    reasons = {change.node_id: change.reason.kind for change in resumed.changes}
    assert reasons["orders"] is ReasonKind.RELATION_GONE
    assert reasons["report"] is ReasonKind.UPSTREAM_RUNS_AGAIN
    assert executed(resumed, plan).keys() == {"orders", "t", "report", "bystander"}
    failed = replace(run, nodes=tuple(replace(n, attempts=attempts(State.FAILED)) for n in nodes))
    assert built(failed, plan.graph) == []  # a person has said that it is done


def test_what_dbt_contradicted_runs_again_with_what_depends_on_it():
    earlier = a_run(**{"session.close": "failed"})
    why = Reason(ReasonKind.CONTRADICTED, ("orders", "of_another_time"), "dbt wrote error")
    nodes = tuple(
        replace(node, reason=why) if node.id == "session.close" else node for node in earlier.nodes
    )
    plan = a_plan()
    resumed = resume(replace(earlier, nodes=nodes), plan, ResumeSpec(), NOW)
    assert executed(resumed, plan) == {"orders": 2, "t": 2, "report": 2}
    (change,) = [change for change in resumed.changes if change.node_id == "orders"]
    assert (change.state, change.reason.kind) == (State.PENDING, ReasonKind.CONTRADICTED)
    assert not executed(resume(earlier, plan, ResumeSpec(), NOW), plan)  # nothing is in doubt


#: load fills src, which orders reads; beside it another model that reads what load fills.
FED = {"load": Kind.STEP, "src": Kind.SOURCE, "orders": Kind.MODEL, "bystander": Kind.MODEL}
FED_EDGES = (("load", "src"), ("src", "orders"))


@pytest.mark.parametrize(
    ("source", "orders", "executed_again"),
    [
        ("skipped", "skipped", {"load", "src", "orders"}),  # on_stale: skip
        ("failed", "upstream_failed", {"load", "src", "orders"}),  # on_stale: fail
        ("warn", "failed", {"src", "orders"}),  # late, which holds nobody back
        ("success", "failed", {"src", "orders"}),
    ],
)
def test_a_retry_runs_the_ingestion_again_that_feeds_a_source_found_stale(
    source, orders, executed_again
):
    plan = a_plan(edges=FED_EDGES, kinds=FED)
    earlier = a_run(orders=orders)
    looked = AttemptRecord(number=1, state=State(source), queued_at=NOON)
    node = NodeRecord(
        id="src",
        kind=Kind.SOURCE,
        name="src",
        state=State(source),
        attempts=(looked,),
        checksum="1",
    )
    known = [one for one in earlier.nodes if one.id not in ("t", "report")]
    earlier = replace(earlier, nodes=(*known, node))
    resumed = resume(earlier, plan, ResumeSpec(), NOW)
    assert executed(resumed, plan).keys() == executed_again
    why = {change.node_id: change.reason for change in resumed.changes}
    if "load" in executed_again:
        assert (why["load"].kind, why["load"].nodes) == (ReasonKind.FEEDS_STALE, ("src",))
        assert str(why["load"]) == "src, which it fills, was not fresh"
    rerun = ResumeSpec(again=frozenset({"orders"}), nothing_else=True)
    assert "load" not in executed(resume(earlier, plan, rerun, NOW), plan)  # asked for that alone
