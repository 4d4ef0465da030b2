"""dbt's results and exceptions, as JSON, and back."""

from __future__ import annotations

from typing import Any

from .channel import Message
from .evidence import chain
from .scrubbing import scrub


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
    return [{**link, "message": scrub(link["message"])[:4000]} for link in chain(error)]


def told(error: BaseException) -> str:
    """The evidence in the words of ``failure_classes``, for whoever writes one."""
    links = []
    for link in chain(error):
        names = {
            "exception": link["classes"][0],
            "sqlstate": link["sqlstate"],
            "errno": " ".join(link["codes"]),
            "http_status": link["http_status"],
        }
        links.append(", ".join(f"{name} {value}" for name, value in names.items() if value))
    return scrub("; from ".join(links))


def typed_status(node: Any, status: str) -> Any:
    """Dbt's enum member for a status."""
    from dbt.artifacts.schemas.results import RunStatus, TestStatus

    tests = str(node.resource_type) in ("test", "unit_test")
    return TestStatus(status) if tests else RunStatus(status)
