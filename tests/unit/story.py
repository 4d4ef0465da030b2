"""A small shop whose runs the tests of views, summaries and history tell about."""

import heapq
from datetime import UTC, datetime, timedelta

from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Attempt, Finished, Outcome, Started
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import STEPS, THREADS, Plan, with_session
from dbtorch.core.run.machine import Run
from dbtorch.testing import SUCCEEDS
from dbtorch.testing.store import MemoryStore

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

LOST = Outcome(state=State.FAILED, message="connection lost", failure_class=FailureClass.TRANSIENT)
WRONG = Outcome(
    state=State.FAILED,
    message="Database Error in model fct_orders (models/marts/fct_orders.sql)\n"
    '  Binder Error: column "amont" not found\n  compiled code at target/run/fct_orders.sql',
    failure_class=FailureClass.CODE,
)
COMPLAINS = Outcome(state=State.WARN, message="Got 3 results, configured to warn if != 0")


def model(name, path="models/staging", **more):
    return Node(
        id=f"model.shop.{name}", kind=Kind.MODEL, name=name, path=f"{path}/{name}.sql", **more
    )


def step(name, **more):
    return Node(id=f"step.{name}", kind=Kind.STEP, name=name, path="dbtorch.yml", **more)


def check(name):
    return Node(id=f"test.shop.{name}.a1b2c3", kind=Kind.TEST, name=name)


SHOP = (
    step("ingest_orders", owner="data-eng", runbook="docs/ingest.md"),
    step("ingest_rates"),
    model("stg_orders"),
    model("stg_rates"),
    check("not_null_orders"),
    model("fct_orders", "models/marts", owner="ana", runbook="docs/fct.md", group="finance"),
    model("fct_kpis", "models/marts"),
    check("unique_kpis"),
    step("export_kpis"),
)
EDGES = (
    ("step.ingest_orders", "model.shop.stg_orders"),
    ("step.ingest_rates", "model.shop.stg_rates"),
    ("model.shop.stg_orders", "test.shop.not_null_orders.a1b2c3"),
    ("test.shop.not_null_orders.a1b2c3", "model.shop.fct_orders"),
    ("model.shop.stg_rates", "model.shop.fct_orders"),
    ("model.shop.fct_orders", "model.shop.fct_kpis"),
    ("model.shop.fct_kpis", "test.shop.unique_kpis.a1b2c3"),
    ("test.shop.unique_kpis.a1b2c3", "step.export_kpis"),
)


def plan(nodes=SHOP, edges=EDGES, *, policies=None, expected=None, threads=2, pools=None):
    """A plan of these nodes; everything that is no step runs in the dbt session."""
    on_engine = frozenset(node.id for node in nodes if node.kind is not Kind.STEP)
    settled = {
        node.id: Policy(
            retry=Retry.times(2, delay=0), slots={THREADS if node.id in on_engine else STEPS: 1}
        )
        for node in nodes
    } | dict(policies or {})
    graph, settled = with_session(nodes, edges, on_engine, settled, retry=Retry.times(1, delay=0))
    return Plan(
        graph=graph,
        policies=settled,
        pools={THREADS: threads, STEPS: 8, **(pools or {})},
        expected=expected or {},
    )


def record(a_plan, *, run_id="20260301T120000Z-aaaaaa", started_at=NOON, **more):
    return RunRecord(
        run_id=run_id,
        pipeline=more.pop("pipeline", "daily"),
        project="shop",
        target="dev",
        logical_date=started_at,
        data_interval_start=started_at - timedelta(days=1),
        data_interval_end=started_at,
        state=RunState.RUNNING,
        started_at=started_at,
        edges=tuple(a_plan.graph.edges()),
        **more,
    )


class Told:
    """A run played through in virtual time: what changed when, and what the store keeps."""

    def __init__(self, outcomes=None, seconds=None, *, a_plan=None, store=None, until=None, **more):
        """``outcomes`` and ``seconds`` are lists by node id, one per attempt; ``until`` stops."""
        self.plan = a_plan or plan()
        self.record = record(self.plan, **more)
        self.store = store or MemoryStore()
        self.turns = []  # (now, changes)
        self.run = Run(self.plan, random=lambda: 0.5)
        self.now = self.record.started_at
        self._outcomes, self._seconds = outcomes or {}, seconds or {}
        self.store.begin(self.record, list(self.plan.graph.nodes.values()))
        self._play(until)

    @property
    def changes(self):
        return [change for _, changes in self.turns for change in changes]

    def kept(self):
        """The record as the store gives it back."""
        return self.store.run(self.record.run_id)

    def _play(self, until):
        ends = []
        while not self.run.finished and (until is None or self.now < until):
            due = self.run.due(self.now)
            self._tell(due.changes)
            for batch in due.batches:
                (attempt,) = batch.attempts
                self._tell(self.run.record(Started(attempt), self.now))
                end = self.now + timedelta(seconds=self._time(attempt))
                heapq.heappush(ends, (end, batch.id, attempt))
            wake = self.run.wake_at()
            if wake is not None and (not ends or wake <= ends[0][0]) and not due.batches:
                self.now = max(wake, self.now)
                continue
            if until is not None and ends[0][0] > until:
                self.now = until
                return
            self.now, _, attempt = heapq.heappop(ends)
            outcome = self._outcome(attempt)
            self._tell(self.run.record(Finished(attempt, outcome), self.now))
        if self.run.finished:
            self.store.end(self.record.run_id, self.run.state, self.now)

    def _tell(self, changes):
        if changes:
            self.turns.append((self.now, list(changes)))
            self.store.record(self.record.run_id, changes)

    def _time(self, attempt):
        return _nth(self._seconds.get(attempt.node_id, ()), attempt, 1.0)

    def _outcome(self, attempt):
        return _nth(self._outcomes.get(attempt.node_id, ()), attempt, SUCCEEDS)


def _nth(values, attempt: Attempt, default):
    return values[attempt.number - 1] if attempt.number <= len(values) else default


def broken_shop(**more):
    """The run most tests look at: a retry that helps, a failure, a warning, blocked nodes."""
    return Told(
        {
            "step.ingest_rates": [LOST],
            "model.shop.fct_orders": [WRONG],
            "test.shop.not_null_orders.a1b2c3": [COMPLAINS],
        },
        {"step.ingest_orders": [6.0], "model.shop.fct_orders": [2.5]},
        command=("dbtorch", "run", "--project-dir", "my shop"),
        **more,
    )
