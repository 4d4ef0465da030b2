"""What a run is about in time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.template import run_values
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import ONLY_MODELS, RunRecord
from dbtorch.core.model.interval import Interval, NoInterval, covered_until, until_now
from dbtorch.core.schedule.cause import Cause, CauseKind

if TYPE_CHECKING:
    from dbtorch.core.schedule.partition import Partition
    from dbtorch.ports.store import Store

#: Among the options of a run: nothing of it was ever executed, and its target is what files said.
NOT_BEGUN = "not_begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a run is about in time: its id, its pipeline and the interval it stands for."""

    run_id: str
    pipeline: str
    interval: Interval
    now: datetime  # when the run began, in its very first execution
    goes_on: bool = False  # the interval begins where that of the last successful run ends
    previous_success_end: datetime | None = None
    partition: str = ""  # key of the partition, or "first..last"; empty for none
    planned_at: datetime | None = None  # when a schedule wanted it to start; None by hand
    outputs: dict[str, Any] = field(default_factory=dict)  # of steps, by name
    params: dict[str, Any] = field(default_factory=dict)  # of the pipeline, with their defaults
    trigger: dict[str, Any] = field(default_factory=dict)  # what started it: `Cause.as_json`
    run: dict[str, Any] = field(default_factory=dict)  # `run` in templates, the same for everybody

    def __post_init__(self) -> None:
        self.run.clear()
        self.run.update(
            run_values(
                id=self.run_id,
                pipeline=self.pipeline,
                logical_date=self.interval.logical_date,
                data_interval_start=self.interval.start,
                data_interval_end=self.interval.end,
                previous_success_end=self.previous_success_end,
                params=self.params,
                trigger=self.trigger,
                partition=self.partition or None,
            )
        )

    @classmethod
    def of(
        cls,
        pipeline: PipelineSpec,
        logical_date: datetime | None,
        now: datetime,
        *,
        run_id: str,
        stands_for: Interval | None = None,
        params: dict[str, Any] | None = None,
        cause: Cause | None = None,
        partition: str = "",
    ) -> RunContext:
        """What a run of a pipeline is about that begins now.

        ``stands_for`` says its interval, where a scheduler has settled that, ``partition`` the key
        of its partition; by default that of a pipeline with partitions is the last that is over.
        Raises `UsageError`.
        """
        if partition and logical_date is not None:
            raise UsageError("--partition and --logical-date both say what to run; give one")
        if pipeline.partition is not None or partition:
            at = logical_date if stands_for is None else stands_for.end
            found = _partition(pipeline, partition, at, now, ended=stands_for is not None)
            stands_for, partition = found.interval, found.key
        if stands_for is None:
            stands_for = _stands_for(pipeline, logical_date, now)
        return cls(
            run_id=run_id,
            pipeline=pipeline.name,
            interval=stands_for,
            now=now,
            goes_on=pipeline.schedule is None and logical_date is None and not partition,
            partition=partition,
            params=params or {},
            trigger=(cause or Cause(kind=CauseKind.MANUAL)).as_json(),
        )

    @classmethod
    def recorded(cls, record: RunRecord, outputs: dict[str, Any]) -> RunContext:
        """What a run stands for that goes on: the same as before."""
        return cls(
            run_id=record.run_id,
            pipeline=record.pipeline,
            interval=Interval(record.data_interval_start, record.data_interval_end),
            now=record.started_at,
            goes_on=bool(record.options.get("up_to_now")),
            previous_success_end=previous_success_end(record),
            outputs=outputs,
            params=dict(record.options.get("params") or {}),
            trigger=dict(record.options.get("triggered_by") or {}),
            partition="" if record.partition == ONLY_MODELS else record.partition,
        )

    def settled(self, store: Store, target: str) -> RunContext:
        """The same with what earlier runs on this target have done. Raises `UsageError`."""
        if self.goes_on:
            done = store.successful_intervals(target, self.pipeline)
            last = max((interval.end for interval in done), default=None)
            try:
                stands_for = until_now(covered_until(done), self.now)
            except NoInterval as error:
                raise UsageError(
                    f"{error}, up to where successful runs on target {target} have been; "
                    "say with --logical-date where it begins"
                ) from error
            return replace(self, interval=stands_for, previous_success_end=last)
        last = store.last_success_end(target, self.pipeline, before=self.interval.end)
        return replace(self, previous_success_end=last)

    def record(self) -> dict[str, Any]:
        """What the history keeps of it among a run's options."""
        end = self.previous_success_end
        return {
            "previous_success_end": end.isoformat() if end is not None else None,
            "up_to_now": self.goes_on,
            "params": self.params,
            "triggered_by": self.trigger,
        }


def _partition(
    pipeline: PipelineSpec, key: str, at: datetime | None, now: datetime, *, ended: bool
) -> Partition:
    """The partition of a run: of a key, the last that was over at a time, or in which it lies."""
    if pipeline.partition is None:
        where = pipeline.origin.file or "dbtorch.yml"
        raise UsageError(
            f"pipeline {pipeline.name} has no partitions, of which --partition {key} could be one:"
            f" give it `partition: {{by: day, start: 2026-01-01}}` in {where}"
        )
    from dbtorch.adapters.partitions import Partitions

    partitions = Partitions(pipeline.partition, f"pipeline {pipeline.name}")
    if key:
        return partitions.named(key, now)
    if at is None or ended:
        return partitions.last(at or now)
    return partitions.named(partitions.holding(at).key, now)


def _stands_for(pipeline: PipelineSpec, logical_date: datetime | None, now: datetime) -> Interval:
    try:
        if pipeline.schedule is None:
            return until_now(logical_date, now)
        from dbtorch.adapters.cron import interval

        return interval(pipeline.schedule, logical_date, now)
    except NoInterval as error:
        raise UsageError(f"{error}; give another --logical-date") from error


def previous_success_end(record: RunRecord) -> datetime | None:
    """Where the interval of the last successful run before this one ends."""
    kept = record.options.get("previous_success_end")
    return datetime.fromisoformat(kept) if kept else None
