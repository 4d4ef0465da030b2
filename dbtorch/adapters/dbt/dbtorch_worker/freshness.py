"""Freshness of sources, by dbt's own rules, inside the open session."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .channel import Message
from .results import evidence, failure
from .scrubbing import scrub

#: Threads at most: a pool starts all of them, and a machine has only so many.
_MOST_THREADS = 1000

#: Seconds of dbt's periods.
_PERIODS = {"minute": 60, "hour": 3600, "day": 86400}


def thresholds(task: Any) -> dict[str, Message]:
    """Sources that dbt's `source freshness` would check: their limits, and whether it could."""
    from dbt.adapters.capability import Capability
    from dbt.adapters.factory import get_adapter

    metadata = get_adapter(task.config).supports(Capability.TableLastModifiedMetadata)
    return {
        uid: {
            "warn_after": seconds(source.freshness.warn_after),
            "error_after": seconds(source.freshness.error_after),
            "filter": source.freshness.filter or "",
            "checkable": bool(
                source.loaded_at_field or getattr(source, "loaded_at_query", None) or metadata
            ),
        }
        for uid, source in task.manifest.sources.items()
        if source.has_freshness
    }


def seconds(limit: Any) -> float | None:
    """A threshold in seconds; None where there is none."""
    if limit is None or limit.count is None or limit.period is None:
        return None
    return float(limit.count * _PERIODS[str(getattr(limit.period, "value", limit.period))])


def check(task: Any, uid: str, known: dict[Any, Any] | None = None) -> Any:
    """Check one source; dbt's result. ``known`` is what the warehouse's metadata says."""
    from dbt.adapters.factory import get_adapter
    from dbt.task.freshness import FreshnessRunner
    from dbt_common.events.contextvars import log_contextvars

    source = task.manifest.expect(uid)
    runner = FreshnessRunner(task.config, get_adapter(task.config), source, 1, 1)
    runner.set_metadata_freshness_cache(known or {})
    with log_contextvars(node_info=source.node_info):
        return runner.run_with_hooks(task.manifest)


def describe_check(result: Any, error: BaseException | None) -> Message:
    """A result of `check`, as JSON; ``source`` is its entry in sources.json."""
    from dbt.artifacts.schemas.freshness import process_freshness_result

    source = process_freshness_result(result).to_dict(omit_none=False)
    if source.get("error"):
        source["error"] = scrub(str(source["error"]))
    answer: Message = {
        "status": str(source["status"]),
        "message": scrub(str(result.message or "")),
        "execution_time": result.execution_time,
        "timing": [timing.to_dict(omit_none=True) for timing in result.timing],
        "thread_id": result.thread_id,
        "adapter_response": result.adapter_response or {},
        "source": source,
    }
    if error is not None:
        answer["errors"] = evidence(error)
    return answer


def not_checked(uid: str, message: str) -> Message:
    """The entry in sources.json of a source whose check came to nothing."""
    return {"unique_id": uid, "error": message, "status": "runtime error"}


def threads_of(config: Any) -> int:
    """How many threads dbt may use, as many as a machine can start."""
    return max(1, min(int(config.threads), _MOST_THREADS))


def check_all(task: Any, uids: list[str], errors: dict[str, BaseException]) -> list[Message]:
    """Check sources at once on dbt's threads, and write sources.json; answers in their order.

    ``errors`` is where exceptions of runners are kept.
    """
    from dbt.graph.thread_pool import DbtThreadPool
    from dbt_common.context import get_invocation_context

    began = time.monotonic()
    known = metadata_of(task, uids)

    def one(uid: str) -> Message:
        try:
            result = check(task, uid, known)
            return describe_check(result, errors.pop(uid, None))
        except Exception as error:
            said = failure(error)
            return {"status": "runtime error", **said, "source": not_checked(uid, said["message"])}

    pool = DbtThreadPool(
        threads_of(task.config), task._pool_thread_initializer, [get_invocation_context()]
    )
    answers = pool.map(one, uids)
    pool.close()
    pool.join()
    write_sources(task, [answer["source"] for answer in answers], time.monotonic() - began)
    return [
        {"type": "finished", "node": uid, "attempt": 1, **answer}
        for uid, answer in zip(uids, answers)  # noqa: B905  # Python 3.9
    ]


def metadata_of(task: Any, uids: list[str]) -> dict[Any, Any]:
    """When tables were last modified, in one query, where the warehouse can say so.

    Whatever goes wrong here is no matter: dbt asks again for each source that is missing.
    """
    from dbt.adapters.capability import Capability
    from dbt.adapters.factory import get_adapter
    from dbt.task.freshness import FreshnessTask

    adapter = get_adapter(task.config)
    found: dict[Any, Any] = {}
    if adapter.supports(Capability.TableLastModifiedMetadataBatch):
        asker = SimpleNamespace(
            manifest=task.manifest, config=task.config, _metadata_freshness_cache=found
        )
        with contextlib.suppress(Exception), adapter.connection_named("dbtorch-freshness"):
            FreshnessTask.populate_metadata_freshness_cache(asker, adapter, set(uids))
    return found


def write_sources(task: Any, sources: list[Message], elapsed: float) -> None:
    """Write sources.json as dbt does, with the sources that it leaves out because they raised."""
    from dbt.artifacts.schemas.freshness import (
        FreshnessExecutionResultArtifact,
        FreshnessMetadata,
        SourceFreshnessOutput,
        SourceFreshnessRuntimeError,
    )
    from dbt.constants import SOURCE_RESULT_FILE_NAME

    if not sources or not task.args.write_json:
        return
    raised = [source["status"] == "runtime error" for source in sources]
    results = [
        (SourceFreshnessRuntimeError if wrong else SourceFreshnessOutput).from_dict(source)
        for source, wrong in zip(sources, raised)  # noqa: B905  # Python 3.9
    ]
    path = Path(task.config.project_target_path, SOURCE_RESULT_FILE_NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    FreshnessExecutionResultArtifact(
        metadata=FreshnessMetadata(), results=results, elapsed_time=elapsed
    ).write(str(path))
