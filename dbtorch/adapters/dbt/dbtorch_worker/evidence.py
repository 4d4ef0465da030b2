"""What an exception says about another attempt, read from its attributes.

No driver is imported. Standard library and Python 3.9 only: the processes of steps load this file,
too, by its path.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any

#: Causes that are looked at.
_LONGEST = 8

#: Exceptions of Python's own that may be the reason of another one raised while they were handled.
_TELLING = (OSError, EOFError, MemoryError)

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")

#: Databricks and Spark have both in their texts only:
#: https://docs.databricks.com/aws/en/error-messages/
_SQLSTATE_IN_TEXT = re.compile(r"\bSQLSTATE[:=] ?([0-9A-Z]{5})\b")
_CONDITION_IN_TEXT = re.compile(r"^\[([A-Z][A-Z0-9_]+)(?:\.[A-Z0-9_]+)*\]")


def chain(error: BaseException) -> list[dict[str, Any]]:
    """The exception and its causes, outermost first.

    A link has ``classes`` (dotted names, most specific first), ``message``, and, or None:
    ``sqlstate``, ``codes`` (the driver's numbers and names, as text), ``http_status`` and
    ``retry_after`` (the header, as it was sent). It is an ``aside`` when it may have nothing to do
    with what followed: a KeyError that was being handled, say.
    """
    links: list[dict[str, Any]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    aside = False
    while current is not None and id(current) not in seen and len(links) < _LONGEST:
        seen.add(id(current))
        links.append({**_link(current), "aside": aside})
        current, named = _before(current)
        aside = aside or not (named or isinstance(current, _TELLING) or not _is_pythons(current))
    return links


def _before(error: BaseException) -> tuple[BaseException | None, bool]:
    """What came before an exception, and whether it was named as its cause."""
    reason = getattr(error, "reason", None)  # urllib keeps it here
    cause = error.__cause__ or (reason if isinstance(reason, BaseException) else None)
    if cause is not None or error.__suppress_context__:
        return cause, True
    return error.__context__, False


def _is_pythons(error: BaseException | None) -> bool:
    return type(error).__module__ == "builtins"


def _link(error: BaseException) -> dict[str, Any]:
    text = str(error)
    answer = getattr(error, "response", None)
    return {
        "classes": [f"{one.__module__}.{one.__qualname__}" for one in type(error).__mro__[:-2]],
        "message": text,
        "sqlstate": next(_sqlstates(error, text), None),
        "codes": list(dict.fromkeys(str(code) for code in _codes(error, text, answer))),
        "http_status": next(_statuses(error, answer), None),
        "retry_after": _retry_after(error, answer),
    }


def _sqlstates(error: BaseException, text: str) -> Iterator[str]:
    first = error.args[0] if error.args else None
    candidates = [
        getattr(error, "sqlstate", None),  # psycopg, snowflake.connector
        getattr(error, "pgcode", None),  # psycopg2
        # redshift_connector and pg8000: the fields of the server's answer
        first.get("C") if isinstance(first, dict) else None,
        first if type(error).__module__ == "pyodbc" else None,
    ]
    for found in candidates:
        if isinstance(found, str) and _SQLSTATE.fullmatch(found):
            yield found
    match = _SQLSTATE_IN_TEXT.search(text)
    if match:
        yield match[1]


def _codes(error: BaseException, text: str, answer: Any) -> Iterator[Any]:
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and isinstance(number, int):
        yield errno.errorcode.get(number, number)
    names = (
        "errno",
        "code",
        "error_code",
        "error_name",
        "error_type",
    )  # snowflake, trino and others
    for name in names:
        found = getattr(error, name, None)
        if _is_code(found):
            yield found
    details = getattr(error, "errors", None)  # google.api_core: the API's error objects
    for one in details if isinstance(details, (list, tuple)) else ():
        if isinstance(one, dict) and _is_code(one.get("reason")):
            yield one["reason"]
    said = answer.get("Error") if isinstance(answer, dict) else None  # botocore
    if isinstance(said, dict) and _is_code(said.get("Code")):
        yield said["Code"]
    match = _CONDITION_IN_TEXT.match(text)
    if match:
        yield match[1]


def _is_code(value: Any) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool)
    return number or (isinstance(value, str) and 0 < len(value) <= 100)


def _statuses(error: BaseException, answer: Any) -> Iterator[int]:
    context = getattr(error, "context", None)
    metadata = answer.get("ResponseMetadata") if isinstance(answer, dict) else None
    candidates = [
        getattr(answer, "status_code", None),  # requests, httpx
        getattr(error, "status_code", None),  # duckdb, and many clients of APIs
        getattr(error, "code", None),  # urllib, google.api_core
        context.get("http-code") if isinstance(context, dict) else None,  # databricks.sql
        metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None,  # botocore
        getattr(error, "status", None),  # aiohttp
    ]
    for found in candidates:
        if isinstance(found, int) and 400 <= found < 600:
            yield int(found)


def _retry_after(error: BaseException, answer: Any) -> str | None:
    headers: Any = getattr(answer, "headers", None) or getattr(error, "headers", None)
    if not hasattr(headers, "get"):
        return None
    found = headers.get("Retry-After") or headers.get("retry-after")
    return found if isinstance(found, str) else None
