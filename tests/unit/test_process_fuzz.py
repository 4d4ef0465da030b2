"""Whatever a dbt prints or leaves behind, it is read or it is text: never a traceback."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbtorch.adapters.dbt.process.dbt_cli import event_lines as lines
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Began, Done, Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.run_results import Results, decode_results

NODE = "model.shop.orders"

#: Values of a type that nobody expects; the last two are no JSON at all.
_ODD = st.sampled_from(
    [None, True, -1, 2**70, 1e308, "x", "\ud800", [], [{}], {}, {"a": {}}, math.nan, math.inf]
)
OTHERS = {"NodeFinished", "LogBatchResult", "LogHookEndLine", "Generic"}
_NAMES = st.sampled_from(sorted({*lines._BEGINNINGS, *lines._SILENT, *OTHERS}))
_TIMES = st.sampled_from(
    ["2026-11-21T19:03:12.606290", "2026-11-21T19:03:12Z", "", "None", "0001-01-01T00:00:00Z"]
)
_STATUSES = st.sampled_from(["success", "Warn", "None", "", "partial success"])


def _near(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of these fields, of which some are of another type."""
    return st.fixed_dictionaries(
        {}, optional={name: field | _ODD for name, field in fields.items()}
    )


_NODES = _near(
    {
        "unique_id": st.just(NODE),
        "node_status": _STATUSES,
        "node_started_at": _TIMES,
        "node_finished_at": _TIMES,
    }
)
_RAN = _near(
    {
        "status": _STATUSES,
        "message": st.text(max_size=5),
        "num_failures": st.integers(),
        "adapter_response": _near({"rows_affected": st.integers() | st.floats()}),
    }
)
#: Events that come near to what is one.
_EVENTS = st.builds(
    lambda name, level, data, at: {"info": {"name": name, "level": level, "ts": at}, "data": data},
    _NAMES,
    st.sampled_from(["debug", "info", "warn", "error"]),
    _near(
        {
            "node_info": _NODES,
            "run_result": _RAN,
            "status": _STATUSES,
            "execution_time": st.floats() | st.just(5.0),
            "num_failures": st.integers(),
        }
    ),
    _TIMES,
)
_FILES = _near(
    {
        "metadata": _near({"dbt_schema_version": st.just("https://dbt/run-results/v6.json")}),
        "results": st.lists(
            _near(
                {
                    "unique_id": st.just(NODE),
                    "status": _STATUSES,
                    "failures": st.integers(),
                    "execution_time": st.floats(),
                    "timing": st.lists(_near({"started_at": _TIMES, "completed_at": _TIMES})),
                    "adapter_response": _near({"rows_affected": st.floats()}),
                }
            ),
            max_size=3,
        ),
    }
)


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_any_bytes_are_read(said: list[bytes]) -> None:
    reader = Lines()
    assert all(isinstance(line, LogMessage) for line in map(reader.read, said) if line is not None)


@given(st.lists(_EVENTS, max_size=4))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_events_are_read(events: list[dict[str, Any]]) -> None:
    reader = Lines()
    for event in events:
        found = reader.read(json.dumps(event).encode())
        if isinstance(found, Began | Done):
            assert found.unique_id  # a node, or what dbt calls one
        if isinstance(found, Done) and found.rows is not None:
            assert found.rows >= 0


@given(st.binary(max_size=200) | _FILES.map(lambda file: json.dumps(file).encode()))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_any_file_is_read_or_refused(content: bytes) -> None:
    try:
        found = decode_results(content)
    except (ValueError, msgspec.MsgspecError):
        return
    assert isinstance(found, Results)
    assert set(found.nodes) <= {node.unique_id for node in found.nodes.values()}
