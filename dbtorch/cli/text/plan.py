"""A plan as text or JSON: what would run, in which order, why, and how long it may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.model.dbt_warnings import DbtWarning, warnings_json
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.freshness import span as age
from dbtorch.core.model.gate import Gate, OnStale, Require
from dbtorch.core.model.graph import Node
from dbtorch.core.model.naming import label, names_among
from dbtorch.core.model.policy import Breaker, OnFailure, Policy, Retry
from dbtorch.core.plan import STEPS, THREADS, Plan
from dbtorch.core.run.simulation import Forecast, batches, forecast, is_shown
from dbtorch.core.text.phrases import calm, many, took
from dbtorch.service.planning.plan import why

#: Nodes of the critical path that are written out.
_ON_PATH = 12

_HEAD = ("#", "STARTS", "TAKES", "NODE", "WHY", "HOW")


def plan_text(plan: Plan, *, format: str = "text", dbt_warnings: Sequence[DbtWarning] = ()) -> str:
    """The plan as ``text`` or ``json``. Nothing ends in a line break."""
    view = _PlanView(plan, dbt_warnings)
    return document(**view.as_json()) if format == "json" else view.as_text()


class _PlanView:
    def __init__(self, plan: Plan, dbt_warnings: Sequence[DbtWarning]) -> None:
        self._plan = plan
        self._warnings = dbt_warnings
        self._forecast: Forecast = forecast(plan)
        self._nodes = plan.graph.nodes
        self._names = names_among(plan.graph.nodes.values())
        self._cost = plan.cost()
        retries = Counter(_retry_key(plan.policy(id).retry) for id in self._forecast.starts)
        self._common = retries.most_common(1)[0][0] if retries else None
        timeouts = Counter(plan.policy(id).timeout for id in self._forecast.starts)
        self._timeout = timeouts.most_common(1)[0][0] if timeouts else None

    def as_text(self) -> str:
        if not self._forecast.starts:
            return "The selection matches no nodes; nothing would run."
        rows = [self._row(place, id) for place, id in enumerate(self._forecast.starts, start=1)]
        lines = table(_HEAD, rows, right=frozenset({0, 1, 2}))
        return "\n".join([*lines, "", *self._totals()])

    def as_json(self) -> dict[str, Any]:
        found = self._forecast
        return {
            "nodes": [self._node_json(place, id) for place, id in enumerate(found.starts, 1)],
            "estimated_seconds": found.seconds,
            "critical_path": list(found.critical_path),
            "critical_path_seconds": found.critical_seconds,
            "pools": dict(self._plan.pools),
            "batches": [list(batch) for batch in batches(self._plan)],
            "fail_fast": self._plan.fail_fast,
            "dbt_warnings": warnings_json(self._warnings),
            "circuit_breaker": asdict(self._plan.breaker) if self._plan.breaker else None,
        }

    # ---------------------------------------------------------------- text

    def _row(self, place: int, id: str) -> list[str]:
        known = id in self._plan.expected or self._cost[id] == 0
        takes = took(self._cost[id]) if known else "?"
        return [
            str(place),
            f"+{calm(self._forecast.starts[id])}",
            takes,
            label(self._nodes[id]),
            why(self._plan.graph, id, self._names),
            self._how(id),
        ]

    def _how(self, id: str) -> str:
        policy = self._plan.policy(id)
        slots = ", ".join(_pool(name, count) for name, count in _named_pools(policy))
        special = _retry_key(policy.retry) != self._common
        return "; ".join(
            text
            for text, wanted in (
                (f"priority {policy.priority}", policy.priority),
                (slots, slots),
                (f"retries {_retries(policy.retry)}", special),
                (f"timeout {_span(policy.timeout)}", policy.timeout != self._timeout),
                (f"deadline {_deadline(policy.deadline)}", policy.deadline is not None),
                ("blocks nothing if it fails", policy.on_failure is OnFailure.CONTINUE),
                (_gate(policy.gate, self._plan.limits.get(id)), policy.gate is not None),
                (self._checks(id), id in self._plan.checks),
                ("blocked when all its sources are stale", self._waits_for_all(id)),
            )
            if wanted
        )

    def _batches(self) -> list[str]:
        """How dbt gets the nodes, where it does not get them one by one."""
        found = batches(self._plan)
        if not found:
            return []
        sizes = [str(len(batch)) for batch in found[:_ON_PATH]]
        rest = len(found) - len(sizes)
        more = f" and {rest} more" if rest > 0 else ""
        return [f"Batches     {len(found)}, of {', '.join(sizes)}{more} nodes; one dbt for each"]

    def _totals(self) -> list[str]:
        plan, found = self._plan, self._forecast
        kinds = Counter(self._nodes[id].kind.value for id in found.starts)
        total = len(found.starts)
        known = sum(id in plan.expected for id in found.starts)
        named = {name: size for name, size in plan.pools.items() if name not in (THREADS, STEPS)}
        pools = "".join(f", {name} {size}" for name, size in named.items())
        path = [self._names[id] for id in found.critical_path]
        rest = len(path) - _ON_PATH
        more = f" > and {rest} more" if rest > 0 else ""
        kinds_text = ", ".join(
            many(count, kind.replace("_", " ")) for kind, count in kinds.most_common()
        )
        lines = [
            f"{many(total, 'node')}: {kinds_text}",
            f"Estimated   {took(found.seconds)} after dbt has started; history knows {known} of "
            f"{total} nodes" + ("" if known == total else ", the others (?) count as 1s"),
            f"Critical    {took(found.critical_seconds)}: {' > '.join(path[:_ON_PATH])}{more}",
            *self._batches(),
            f"At once     {plan.pools.get(THREADS, 'any')} in dbt (threads), "
            f"{plan.pools.get(STEPS, 'any')} steps{pools}",
        ]
        retries = (plan.policy(id).retry for id in found.starts)
        common = next(retry for retry in retries if _retry_key(retry) == self._common)
        lines += [
            f"Retries     {_retries(common)}, where nothing else is said",
            f"Timeout     {_span(self._timeout)}, where nothing else is said",
            f"Breaker     {_breaker(plan.breaker)}",
        ]
        return lines

    # ---------------------------------------------------------------- JSON

    def _node_json(self, place: int, id: str) -> dict[str, Any]:
        node, policy = self._nodes[id], self._plan.policy(id)
        return {
            "id": id,
            "kind": node.kind.value,
            "name": node.name,
            "order": place,
            "starts_after": self._forecast.starts[id],
            "expected_seconds": self._plan.expected.get(id),
            "critical": id in self._forecast.critical_path,
            "why": why(self._plan.graph, id, self._names),
            "after": [parent.id for parent in self._shown(self._plan.graph.parents(id))],
            "priority": policy.priority,
            "slots": dict(policy.slots),
            "timeout": policy.timeout,
            "retries": {str(key.value): n for key, n in policy.retry.retries.items()},
            "retry_limit": policy.retry.limit,
            "retry_delay": policy.retry.delay,
            "retry_max_delay": policy.retry.max_delay,
            "retry_jitter": policy.retry.jitter,
            "retry_budget": policy.retry.budget,
            "on_failure": policy.on_failure.value,
            "gate": asdict(policy.gate) if policy.gate is not None else None,
            "freshness": asdict(self._plan.limits[id]) if id in self._plan.limits else None,
            "require": policy.require.value,
            "deadline": _deadline(policy.deadline) or None,
            "checks": [check.name for check in self._plan.checks[id].checks]
            if id in self._plan.checks
            else [],
        }

    def _checks(self, id: str) -> str:
        watch = self._plan.checks.get(id)
        return ", ".join(check.name for check in watch.checks) if watch is not None else ""

    def _waits_for_all(self, id: str) -> bool:
        behind_gates = any(parent in self._plan.limits for parent in self._plan.graph.parents(id))
        return behind_gates and self._plan.policy(id).require is Require.ALL

    def _shown(self, ids: Iterable[str]) -> list[Node]:
        return [self._nodes[id] for id in ids if is_shown(self._nodes[id].kind)]


def _named_pools(policy: Policy) -> list[tuple[str, int]]:
    """Pools worth a word: named ones, and a whole share of dbt's threads."""
    return [
        (name, count)
        for name, count in policy.slots.items()
        if name != STEPS and (name != THREADS or count > 1)
    ]


def _pool(name: str, count: int) -> str:
    if name == THREADS:
        return "alone with the database"
    return f"pool {name}" if count == 1 else f"pool {name} ({count} slots)"


def _retry_key(retry: Retry) -> tuple[Any, ...]:
    counts = tuple(sorted(retry.retries.items()))
    return (counts, retry.limit, retry.delay, retry.max_delay, retry.jitter, retry.budget)


def _retries(retry: Retry) -> str:
    """How often after which failures, and when: ``2 transient, 1 timeout (after 10s, ...)``."""
    counts = {kind.value: count for kind, count in retry.retries.items() if count}
    if not counts or retry.limit == 0:
        return "none"
    if retry.limit is not None and set(counts.values()) == {retry.limit}:
        times = str(retry.limit)
    else:
        times = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        times += "" if retry.limit is None else f", {retry.limit} in all"
    when = [f"after {_span(retry.delay)}", f"at most {_span(retry.max_delay)}"]
    when += [] if retry.jitter else ["exactly"]
    when += [] if retry.budget is None else [f"none later than {_span(retry.budget)}"]
    return f"{times} ({', '.join(when)})"


def _gate(gate: Gate | None, limits: Thresholds | None) -> str:
    """What happens behind a source: ``warn after 12 h: warn; error after 24 h: skip``."""
    if gate is None or limits is None:
        return ""
    ages = (
        ("warn after", limits.warn_after, gate.on_warn),
        ("error after", limits.error_after, gate.on_error),
    )
    return "; ".join(
        f"{name} {age(limit)}: {_action(on, gate)}" for name, limit, on in ages if limit is not None
    )


def _deadline(rule: DeadlineRule | None) -> str:
    if rule is None:
        return ""
    return f"{rule.by:%H:%M}" if rule.by is not None else _span(rule.within)


def _action(on: OnStale, gate: Gate) -> str:
    if on is not OnStale.WAIT:
        return on.value
    return f"wait {_span(gate.patience)} (every {_span(gate.every)}), then {gate.then.value}"


def _breaker(breaker: Breaker | None) -> str:
    if breaker is None:
        return "none"
    return (
        f"{many(breaker.failures, 'node')} failing transiently within {_span(breaker.window)} "
        f"pause dbt for {_span(breaker.pause)}"
    )


def _span(seconds: float | None) -> str:
    """A duration as somebody would write it into a configuration."""
    if seconds is None:
        return "none"
    return f"{seconds:g}s" if seconds < 60 else calm(seconds)
