"""From what changed in a run to what an alert says about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from dbtorch.core.alerts.alert import SEVERITIES, Alert, AlertEvent, Severity
from dbtorch.core.alerts.card import RunCard
from dbtorch.core.alerts.incidents import Incident
from dbtorch.core.alerts.routing import AlertsSpec
from dbtorch.core.alerts.text import took, when
from dbtorch.core.failures.message import tidy
from dbtorch.core.failures.sql_line import sql_line
from dbtorch.core.history.summary import by_importance
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import EVERY_TIME, LOOKERS, Graph, Kind, Node
from dbtorch.core.model.measure import relation_of
from dbtorch.core.model.naming import short_name
from dbtorch.core.model.policy import OnFailure
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, Plan
from dbtorch.core.text.links import log_link, node_link, run_link

#: Names of blocked nodes that an alert lists.
LISTED = 5

#: "Database Error in model fct_orders (models/marts/fct_orders.sql)": said elsewhere already.
_DBT_HEADING = re.compile(r"\A\s*[A-Z]\w+ Error in .+\)\n(?=\s*\S)")

_TESTS = (Kind.TEST, Kind.UNIT_TEST)


@dataclass(frozen=True, kw_only=True)
class AlertContext:
    """What the alerts of one run have in common."""

    project: str
    target: str
    pipeline: str
    run_id: str
    logical_date: datetime
    started_at: datetime
    seconds_paused: float = 0.0  # between executions of the run
    plan: Plan
    partial: bool = False  # the run is of a part of its pipeline
    spec: AlertsSpec
    nodes: tuple[Node, ...] = ()  # of the whole project, for exposures
    edges: tuple[tuple[str, str], ...] = ()
    pipeline_owner: str = ""
    default_owner: str = ""
    log_path: Callable[[str, int], str] = lambda _id, _attempt: ""
    ui_url: str | None = None  # where the pages are
    scrub: Callable[[str], str] = lambda text: text
    rows: Callable[[str], str] = lambda _id: ""  # of a relation in this run, and what is usual

    @property
    def command(self) -> str:
        """How the run goes on."""
        return f"dbtorch retry {self.run_id}"

    def card(self) -> RunCard:
        """The run before anything is known of it."""
        return RunCard(
            project=self.project,
            target=self.target,
            pipeline=self.pipeline,
            run_id=self.run_id,
            logical_date=self.logical_date,
            started_at=self.started_at,
            seconds_paused=self.seconds_paused,
            partial=self.partial,
            command=self.command,
            link=run_link(self.ui_url, self.run_id),
        )

    def failed(self, change: Changed) -> Alert:
        """A node failed, for good."""
        blocked, names = self._blocked(change.node_id)
        checks = self.is_check(change.node_id)
        alert = self._attempt(AlertEvent.CHECK if checks else AlertEvent.FAILED, change)
        return replace(
            alert,
            blocked=blocked,
            blocked_names=names,
            command=self.command,
            facts=tuple(self._rows(change.node_id)),
        )

    def complains(self, change: Changed) -> Alert:
        """A check complains, and what needs the relation runs all the same."""
        alert = self._attempt(AlertEvent.CHECK, change)
        return replace(alert, severity=Severity.WARNING)

    def is_check(self, node_id: str) -> bool:
        """Whether a node is a check beyond dbt's tests."""
        nodes = self.plan.graph.nodes
        return node_id in nodes and nodes[node_id].kind is Kind.CHECK

    def retrying(self, change: Changed) -> Alert:
        """An attempt failed, and another one will follow."""
        return replace(self._attempt(AlertEvent.RETRYING, change), retry_at=change.retry_at)

    def recovered(self, change: Changed, incident: Incident) -> Alert:
        """A node that had failed ended well."""
        alert = self._node(AlertEvent.RECOVERED, change.node_id, change.at)
        return replace(
            alert,
            attempt=change.attempt,
            in_a_row=incident.in_a_row,
            since=incident.opened_at,
        )

    def stale(
        self, node_id: str, at: datetime, why: str, *, severity: Severity = Severity.ERROR
    ) -> Alert:
        """A source, or what is built, is older than it may be."""
        found = FailureClass.DATA if severity is Severity.ERROR else None
        alert = self._node(AlertEvent.STALE, node_id, at)
        return replace(alert, severity=severity, failure_class=found, facts=(("Age", why),))

    def late(self, late: Late) -> Alert:
        """A deadline was missed or is at risk."""
        event = AlertEvent.DEADLINE_MISSED if late.missed else AlertEvent.DEADLINE_AT_RISK
        facts = [("Deadline", when(late.deadline))]
        if late.expected is not None:
            facts.append(("Expected end", when(late.expected)))
        if late.costliest:
            facts.append(("Costs the most", f"{self.label(late.costliest)}, {took(late.costs)}"))
        if not late.node_id:
            return self.of_run(event, late.at, facts)
        return replace(self._node(event, late.node_id, late.at), facts=tuple(facts))

    def gated(self, at: datetime, states: Mapping[str, State]) -> Alert:
        """The run is over, and some of it waits for sources: what for what."""
        return self.of_run(AlertEvent.GATED, at, self.waits(states))

    def waits(self, states: Mapping[str, State]) -> list[tuple[str, str]]:
        """Source that is not fresh, and what did not run because of it, as names."""
        graph = self.plan.graph
        found = []
        for id in graph.order():
            if graph.nodes[id].kind is Kind.SOURCE and states.get(id) is State.SKIPPED:
                behind = graph.descendants(id)
                held = [after for after in behind if states.get(after) is State.SKIPPED]
                names = by_importance(held, graph)
                if names:
                    rest = len(names) - LISTED
                    listed = ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
                    nodes = "node" if len(names) == 1 else "nodes"
                    found.append((f"Waits for {self.label(id)}", f"{len(names)} {nodes}: {listed}"))
        return found

    def label(self, node_id: str) -> str:
        """A node in a sentence: ``model fct_orders``."""
        node = self._found(node_id)
        return _name(node) if node.kind is Kind.SESSION else f"{node.kind} {_name(node)}"

    def of_run(
        self, event: AlertEvent, at: datetime, facts: Iterable[tuple[str, str]] = ()
    ) -> Alert:
        """Something about the run as a whole."""
        owner = self.pipeline_owner or self.default_owner
        return Alert(
            event=event,
            severity=SEVERITIES[event],
            at=at,
            project=self.project,
            target=self.target,
            pipeline=self.pipeline,
            run_id=self.run_id,
            partial=self.partial,
            logical_date=self.logical_date,
            link=run_link(self.ui_url, self.run_id),
            owner=owner,
            mention=self.spec.route(owner).mention if owner else (),
            facts=tuple(facts),
        )

    def owner(self, node_id: str) -> str:
        """Whose node it is; a plan has found its owners before (`ownership`)."""
        return self._found(node_id).owner or self.pipeline_owner or self.default_owner

    @cached_property
    def project_graph(self) -> Graph:
        """All of dbt's resources, whatever this run is about."""
        return Graph(self.nodes, self.edges)

    def _attempt(self, event: AlertEvent, change: Changed) -> Alert:
        outcome = change.outcome
        written = self.scrub((outcome.message if outcome is not None else "") or str(change.reason))
        message, more = tidy(_DBT_HEADING.sub("", written))
        failure_class = outcome.failure_class if outcome is not None else None
        return replace(
            self._node(event, change.node_id, change.at),
            attempt=change.attempt,
            attempts=self._attempts(change.node_id, failure_class),
            failure_class=failure_class,
            message=message,
            more_lines=more,
            sql_line=sql_line(written),
            log=self.log_path(change.node_id, change.attempt) if change.attempt else "",
            link=log_link(self.ui_url, self.run_id, change.node_id, change.attempt)
            if change.attempt
            else node_link(self.ui_url, self.run_id, change.node_id),
        )

    def _node(self, event: AlertEvent, node_id: str, at: datetime) -> Alert:
        node = self._found(node_id)
        owner = self.owner(node_id)
        return replace(
            self.of_run(event, at),
            node_id=node_id,
            link=node_link(self.ui_url, self.run_id, node_id),
            kind=node.kind.value,
            name=self._name(node),
            path=node.path,
            owner=owner,
            mention=self.spec.route(owner).mention if owner else (),
            runbook=self.spec.runbook(node.runbook),
        )

    def _rows(self, node_id: str) -> Iterator[tuple[str, str]]:
        """Rows of what a test has refused."""
        for id in self._tested(self._found(node_id)):
            if text := self.rows(id):
                yield f"Rows of {self._found(id).name}", text

    def _name(self, node: Node) -> str:
        if node.kind is not Kind.CHECK:
            return _name(node)
        return f"check of {self._found(relation_of(node.id)).kind} {_name(node)}"

    def _attempts(self, node_id: str, failure_class: FailureClass | None) -> int:
        """How many there may be after a failure of this class."""
        retry = self.plan.policy(node_id).retry
        retries = retry.retries.get(failure_class, 0) if failure_class is not None else 0
        return 1 + (retries if retry.limit is None else min(retries, retry.limit))

    def _blocked(self, node_id: str) -> tuple[int, tuple[str, ...]]:
        """How many nodes do not run because of one, and the names of the most important."""
        graph = self.plan.graph
        if self.plan.policy(node_id).on_failure is OnFailure.CONTINUE:
            return 0, ()
        behind = graph.descendants(node_id)
        kinds = (*EVERY_TIME, *LOOKERS)
        blocked = {id for id in behind if graph.nodes[id].kind not in kinds}
        own = set() if graph.nodes[node_id].kind in _TESTS else {relation_of(node_id)}
        exposures = self._exposures(blocked | own)
        names = [node.name for node in exposures] + by_importance(blocked, graph)
        count = len(blocked | {node.id for node in exposures})
        return count, tuple(list(dict.fromkeys(names))[:LISTED])

    def _exposures(self, ids: Iterable[str]) -> list[Node]:
        graph = self.project_graph
        known = [id for id in ids if id in graph.nodes]
        reached = {*graph.descendants(*known), *known}
        return [node for id, node in graph.nodes.items() if _is_exposure(node) and id in reached]

    def _tested(self, node: Node) -> list[str]:
        """What a test or a check looks at."""
        if node.kind is Kind.CHECK:
            return [relation_of(node.id)]
        if node.kind not in _TESTS or node.id not in self.project_graph.nodes:
            return []
        return list(self.project_graph.parents(node.id))

    def _found(self, node_id: str) -> Node:
        return self.plan.graph.nodes.get(node_id) or self._known[node_id]

    @cached_property
    def _known(self) -> Mapping[str, Node]:
        return {node.id: node for node in self.nodes}


def _is_exposure(node: Node) -> bool:
    return node.kind is Kind.EXPOSURE


def _name(node: Node) -> str:
    if node.kind is not Kind.SESSION:
        return short_name(node)
    return "dbt session, closing" if node.id == SESSION_CLOSE else "dbt session"
