"""Numbers for Prometheus: first of all when a pipeline last succeeded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from dbtorch.core.errors import StoreError
from dbtorch.core.history.health import newest_row
from dbtorch.core.model.state import RunState
from dbtorch.ports.store import Store
from dbtorch.schedule.state import LATENESS, ServeState

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """A collector over what this server counts, and what the history knows."""

    def __init__(self, state: ServeState, store: Store) -> None:
        """``store`` is one that waits for nobody else's use of it."""
        self._state = state
        self._store = store
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        found: bytes = generate_latest(self._registry)
        return found

    def describe(self) -> list[Metric]:
        """Nothing before it is asked for: the history need not answer."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of them now; those of a history that does not answer are left out."""
        try:
            yield from self._history()
            up = 1
        except StoreError:
            up = 0
        yield GaugeMetricFamily("dbtorch_store_up", "Whether the history answers.", up)
        with self._state.lock:
            yield from list(self._own())

    def _history(self) -> Iterator[Metric]:
        facts = self._store.standing()
        last = GaugeMetricFamily(
            "dbtorch_run_last_success_timestamp_seconds",
            "When the last whole run of a pipeline that succeeded had ended.",
            labels=["pipeline"],
        )
        took = GaugeMetricFamily(
            "dbtorch_run_duration_seconds",
            "How long the last whole run of a pipeline that succeeded took.",
            labels=["pipeline"],
        )
        for run in facts.runs:
            if run.state is RunState.SUCCESS and not run.partial and run.finished_at is not None:
                last.add_metric([run.pipeline], run.finished_at.timestamp())
                seconds = (run.finished_at - (run.resumed_at or run.started_at)).total_seconds()
                took.add_metric([run.pipeline], run.seconds_before + max(0.0, seconds))
        yield last
        yield took
        age = GaugeMetricFamily(
            "dbtorch_source_age_seconds",
            "Age of the newest row of a source, as its last check found it, and since.",
            labels=["source"],
        )
        now = datetime.now(UTC)
        for source, check in facts.checks.items():
            newest = newest_row(check)
            if newest is not None:
                age.add_metric([source], (now - newest).total_seconds())
        yield age
        waiting = GaugeMetricFamily(
            "dbtorch_queue_waiting", "Steps that wait for a worker of a queue.", labels=["queue"]
        )
        claimed = GaugeMetricFamily(
            "dbtorch_queue_claimed", "Steps that a worker of a queue has.", labels=["queue"]
        )
        for name, depth in self._store.queue_depths().items():
            waiting.add_metric([name], depth.waiting)
            claimed.add_metric([name], depth.claimed)
        yield waiting
        yield claimed
        yield GaugeMetricFamily(
            "dbtorch_alerts_undelivered",
            "Messages to people that were not sent yet.",
            len(self._store.outbox(pending=True)),
        )

    def _own(self) -> Iterator[Metric]:
        state = self._state
        runs = CounterMetricFamily(
            "dbtorch_runs", "Runs of this server that ended.", labels=["pipeline", "state"]
        )
        for (pipeline, ended), count in state.runs.items():
            runs.add_metric([pipeline, ended], count)
        yield runs
        nodes = GaugeMetricFamily(
            "dbtorch_nodes", "Nodes of the last run of a pipeline.", labels=["pipeline", "state"]
        )
        for (pipeline, ended), count in state.nodes.items():
            nodes.add_metric([pipeline, ended], count)
        yield nodes
        attempts = CounterMetricFamily(
            "dbtorch_attempts", "Attempts at nodes that failed.", labels=["class"]
        )
        for kind, count in state.attempts.items():
            attempts.add_metric([kind], count)
        yield attempts
        skips = CounterMetricFamily(
            "dbtorch_ticks_skipped",
            "Times of schedules of which no run started.",
            labels=["pipeline", "reason"],
        )
        for (pipeline, reason), count in state.skips.items():
            skips.add_metric([pipeline, reason], count)
        yield skips
        yield GaugeMetricFamily("dbtorch_ticks_queued", "Runs that are due and wait.", state.queued)
        yield GaugeMetricFamily("dbtorch_runs_active", "Runs that go on.", state.active)
        yield self._lateness()
        yield GaugeMetricFamily(
            "dbtorch_scheduler_last_tick_timestamp_seconds",
            "When the scheduler last looked.",
            state.turned_at or 0.0,
        )
        yield GaugeMetricFamily(
            "dbtorch_config_ok", "Whether dbtorch.yml can be read.", int(state.config_ok)
        )
        yield GaugeMetricFamily("dbtorch_time_seconds", "This server's clock.", time.time())

    def _lateness(self) -> Metric:
        state, below, buckets = self._state, 0, []
        for bound in (*LATENESS, float("inf")):
            below += state.late[bound]
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
        return HistogramMetricFamily(
            "dbtorch_run_start_lateness_seconds",
            "How long after it was due a run was started.",
            buckets=buckets,
            sum_value=state.late_sum,
        )
