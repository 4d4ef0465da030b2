"""Which microbatch windows a build is given, where dbt would build others.

Windows end where the run's data interval does, or where the run began. dbt 1 is told by our worker
and teller (`dbtorch_worker.run_start`). dbt 2 takes an end without a start for what it takes the
time for otherwise: ``begin`` and ``lookback`` count as ever.

No `dbt build` knows which batches an earlier one has failed to build. Called again, it would take
the table that it has begun for one that is whole, and build the newest batches only. So it is given
the window of those that the run has planned and of which nobody knows that they are built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dbtorch.adapters.dbt.microbatches import Microbatches
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.run_files import STARTED, WINDOW_END
from dbtorch.core.model.events import Window
from dbtorch.core.model.graph import Graph, Node

_START, _END = "--event-time-start", "--event-time-end"

#: Who gives one of these has said which time is meant.
_GIVEN = (_END, _START, "--sample")
_VARIABLES = ("DBT_EVENT_TIME_END", "DBT_EVENT_TIME_START", "DBT_SAMPLE")


def end_of_window(words: DbtArgs, environ: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The option that says so; nothing in the hour of the beginning, of which dbt says the same."""
    if any(map(words.has, _GIVEN)) or any(name in environ for name in _VARIABLES):
        return {}
    if interval_end := environ.get(WINDOW_END):
        return {_END: _word(datetime.fromisoformat(interval_end).astimezone(UTC))}
    try:
        began = datetime.fromisoformat(environ[STARTED]).astimezone(UTC)
    except (KeyError, ValueError):  # nobody says when
        return {}
    if (began.date(), began.hour) == (now.date(), now.hour):
        return {}
    end = began + timedelta(seconds=1) if began.microsecond else began  # dbt 2 knows no parts
    return {_END: _word(end)}


def same_each_time(node: Node, words: DbtArgs, environ: Mapping[str, str]) -> bool:
    """Whether dbt builds the same batches of a model whatever is there: a start, or a new table."""
    if not (node.splits and node.materialized == "incremental"):
        return True
    if words.has(_START) or environ.get("DBT_EVENT_TIME_START"):
        return True
    if node.full_refresh is not None:
        return node.full_refresh
    wanted = environ.get("DBT_FULL_REFRESH", "").lower() in ("1", "true")
    return wanted or words.has("--full-refresh")


def window_of(
    ids: Sequence[str],
    graph: Graph,
    microbatches: Microbatches,
    words: DbtArgs,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """The options for a model that the run has planned batches of; it is alone with its options.

    All batches between the first and the last that are to be built are: it makes no difference.
    """
    models = [id for id in ids if graph.nodes[id].splits]  # the options are about all of them
    sampled = words.has("--sample") or environ.get("DBT_SAMPLE")  # which counts for more
    if len(models) != 1 or sampled or same_each_time(graph.nodes[models[0]], words, environ):
        return {}
    left = _left(microbatches, models[0])
    if not left:
        return {}
    return {_START: _word(left[0][0]), _END: _word(max(end for _, end in left))}


def _left(microbatches: Microbatches, id: str) -> list[Window]:
    """Batches to build; where only the end of the attempt was not heard of, the newest one."""
    return microbatches.of(id, built=False) or microbatches.of(id, built=True)[-1:]


def _word(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}"


def unknown(
    ids: Sequence[str],
    graph: Graph,
    unsettled: Collection[str],
    words: DbtArgs,
    environ: Mapping[str, str],
) -> list[str]:
    """What a build must not be given, for nobody knows what is left of it; no others behind it.

    ``unsettled`` are models that may have been built in part, by an attempt that did not end well.
    """
    found = [
        id for id in ids if id in unsettled and not same_each_time(graph.nodes[id], words, environ)
    ]
    after = {id for first in found for id in graph.descendants(first)}
    return [id for id in found if id not in after]
