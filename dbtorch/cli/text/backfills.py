"""Backfills as text and JSON: what one would run, and how far each is."""

from __future__ import annotations

from collections.abc import Sequence

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import SCHEMA_VERSION, to_json
from dbtorch.core.schedule.backfill import Backfill, BackfillState, PartState
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import and_more, many, took
from dbtorch.service.schedule.backfill import BackfillPlan
from dbtorch.service.schedule.backfills import Progress

#: Partitions, and nodes, that are named before they are only counted.
_NAMED = 6

NONE = "there is no backfill; `dbtorch backfill PIPELINE --from … --to …` begins one"


def plan_text(plan: BackfillPlan) -> str:
    """What a backfill would run."""
    parts, key = plan.parts, plan.key
    ends = f"{parts[0].key} to {parts[-1].key}" if len(parts) > 1 else parts[0].key
    of = "" if plan.partitions == len(parts) else f" for {many(plan.partitions, 'partition')}"
    lines = [
        f"{many(len(parts), 'run')}{of} of pipeline {key.pipeline} on target {plan.target}: {ends}",
        f"  because   {_because(plan)}",
        f"  touches   {and_more(plan.touches[:_NAMED], len(plan.touches))}",
    ]
    if plan.left:
        lines.append(f"  left out  {many(plan.left, 'partition')} in between, done or running")
    if plan.seconds is not None and plan.seconds_each is not None:
        each = took(plan.seconds_each)
        lines.append(f"  takes     about {took(plan.seconds)}: by history {each} a run")
    else:
        lines.append("  takes     nobody knows: no run of it has succeeded yet")
    lines += [f"  note      {note}" for note in plan.notes]
    return "\n".join(lines)


def _because(plan: BackfillPlan) -> str:
    counts: dict[str, int] = {}
    for one in plan.chosen:
        counts[one.status.value] = counts.get(one.status.value, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def plan_json(plan: BackfillPlan) -> str:
    """The same for programs."""
    return to_json(
        {
            "schema_version": SCHEMA_VERSION,
            "pipeline": plan.key.pipeline,
            "target": plan.target,
            "place": plan.key.place,
            "runs": [
                {
                    "partition": part.key,
                    "data_interval_start": part.interval.logical_date.isoformat(),
                    "data_interval_end": part.interval.end.isoformat(),
                }
                for part in plan.parts
            ],
            "partitions": {one.partition.key: one.status.value for one in plan.chosen},
            "left_out": plan.left,
            "touches": list(plan.touches),
            "max_active": plan.request.max_active,
            "expected_seconds": plan.seconds,
            "notes": list(plan.notes),
        },
        indent=2,
    )


def state_text(one: Backfill) -> str:
    """How one stands, in a line."""
    counts = {state: one.counts.get(state, 0) for state in PartState}
    total = sum(counts.values())
    words = [f"{counts[PartState.DONE]} of {total} done"]
    for state in (PartState.STARTED, PartState.FAILED, PartState.CANCELLED):
        if counts[state]:
            word = "running" if state is PartState.STARTED else state.value
            words.append(f"{counts[state]} {word}")
    return f"backfill {one.id} of pipeline {one.key.pipeline} {one.state}: {', '.join(words)}"


def backfills_text(found: Sequence[Progress]) -> str:
    """A table of backfills, the newest first, and why parts of them failed."""
    if not found:
        return NONE
    rows = [_row(one) for one in found]
    head = ("BACKFILL", "PIPELINE", "STATE", "DONE", "FAILED", "ETA", "SINCE", "BY")
    lines = table(head, rows, right=frozenset({3, 4}))
    for one in found:
        lines += [
            f"{one.backfill.id}: {part.key} {part.state}{_why(part.run_id, part.note)}"
            for part in one.backfill.parts
            if part.state is PartState.FAILED
        ][:_NAMED]
        if not one.driven and one.backfill.state is BackfillState.ACTIVE:
            lines.append(
                f"{one.backfill.id}: nobody drives it; `dbtorch serve` does, and so does"
                f" `dbtorch backfills resume {one.backfill.id}`"
            )
    return "\n".join(lines)


def _why(run_id: str, note: str) -> str:
    return f" (run {run_id})" if run_id else f": {note}" if note else ""


def _row(one: Progress) -> list[str]:
    of, counts = one.backfill, one.backfill.counts
    total = sum(counts.values())
    return [
        of.id,
        of.key.pipeline,
        of.state.value,
        f"{counts.get(PartState.DONE, 0)}/{total}",
        str(counts.get(PartState.FAILED, 0)),
        f"in {took(one.eta)}" if one.eta is not None else "",
        shown(of.created_at, seconds=False),
        of.created_by + (f" ({of.reason})" if of.reason else ""),
    ]


def backfills_json(found: Sequence[Progress]) -> str:
    """The same for programs, with each part."""
    return to_json([_said(one) for one in found], indent=2)


def _said(one: Progress) -> dict[str, object]:
    of = one.backfill
    return {
        "backfill": of.id,
        "pipeline": of.key.pipeline,
        "place": of.key.place,
        "state": of.state.value,
        "created_at": of.created_at.isoformat(),
        "created_by": of.created_by,
        "reason": of.reason or None,
        "ended_at": of.ended_at.isoformat() if of.ended_at is not None else None,
        "max_active": of.spec.max_active,
        "partitions": of.spec.partitions,
        "driven": one.driven,
        "eta_seconds": one.eta,
        "counts": {state.value: count for state, count in of.counts.items()},
        "runs": [
            {
                "partition": part.key,
                "state": part.state.value,
                "run_id": part.run_id or None,
                "started_at": part.started_at.isoformat() if part.started_at else None,
                "ended_at": part.ended_at.isoformat() if part.ended_at else None,
                "note": part.note or None,
            }
            for part in of.parts
        ],
    }
