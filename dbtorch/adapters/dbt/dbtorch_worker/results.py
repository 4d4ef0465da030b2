"""dbt's results and exceptions, as JSON, and back."""

from __future__ import annotations

from typing import Any

from .attempt_log import scrub
from .channel import Message


def describe(result: Any, error: BaseException | None) -> Message:
    """A dbt result, as JSON."""
    answer: Message = {
        "status": str(result.status.value if hasattr(result.status, "value") else result.status),
        "message": scrub(message_of(result, error)),
        "execution_time": result.execution_time,
        "timing": [timing.to_dict(omit_none=True) for timing in result.timing],
        "thread_id": result.thread_id,
        "adapter_response": result.adapter_response,
        "failures": result.failures,
    }
    if result.batch_results is not None:
        answer["batch_results"] = result.batch_results.to_dict(omit_none=True)
    path = getattr(result.node, "compiled_path", None)
    if path:
        answer["compiled_path"] = path
    if error is not None:
        answer["errors"] = evidence(error)
    return answer


def message_of(result: Any, error: BaseException | None) -> str:
    """What dbt says of a result; of a failed batch it says no more than that it failed."""
    message = str(result.message or "")
    if error is None or result.batch_results is None:
        return message
    return f"{message}\n{error}".strip()


def failure(error: BaseException) -> Message:
    """An exception that is not dbt's result, as JSON."""
    return {"message": scrub(str(error) or type(error).__name__), "errors": evidence(error)}


def evidence(error: BaseException) -> list[Message]:
    """The chain of an exception: what decides whether a retry makes sense."""
    chain: list[Message] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        cls = type(current)
        sqlstate = getattr(current, "pgcode", None) or getattr(current, "sqlstate", None)
        chain.append(
            {
                "classes": [f"{c.__module__}.{c.__qualname__}" for c in cls.__mro__[:-2]],
                "sqlstate": sqlstate if isinstance(sqlstate, str) else None,
                "errno": next(
                    (v for v in (getattr(current, "errno", None),) if isinstance(v, int)), None
                ),
                "message": scrub(str(current))[:4000],
            }
        )
        current = current.__cause__ or current.__context__
    return chain


def typed_status(node: Any, status: str) -> Any:
    """Dbt's enum member for a status."""
    from dbt.artifacts.schemas.results import RunStatus, TestStatus

    tests = str(node.resource_type) in ("test", "unit_test")
    return TestStatus(status) if tests else RunStatus(status)
