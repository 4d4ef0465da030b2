"""Which class a failed attempt belongs to, decided from evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.core.state import FailureClass

_T, _D, _C = FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.CODE

#: SQLSTATE, or its first two letters, to class.
#: Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLSTATES: Mapping[str, FailureClass] = {
    "08": _T,  # connection exception
    "40001": _T,  # serialization failure
    "40P01": _T,  # deadlock detected
    "53": _T,  # insufficient resources: too many connections, disk full, out of memory
    "55006": _T,  # object in use
    "55P03": _T,  # lock not available
    "57014": FailureClass.TIMEOUT,  # query cancelled, by statement_timeout or by hand
    "57P01": _T,  # admin shutdown
    "57P02": _T,  # crash shutdown
    "57P03": _T,  # cannot connect now
    "58": _T,  # system error outside of Postgres
    "22": _D,  # data exception: division by zero, bad cast, value too long
    "23": _D,  # integrity constraint violation
    "28": _C,  # invalid authorization
    "3D": _C,  # invalid catalog name
    "3F": _C,  # invalid schema name
    "42": _C,  # syntax error, missing relation or column, permission denied
    "0A": _C,  # feature not supported
}

#: Name of an exception class to class; the first hit in the chain of causes decides.
#: Sources: https://duckdb.org/docs/stable/clients/python/reference/#duckdb.Error (its exception
#: tree), https://peps.python.org/pep-0249/#exceptions, and dbt_common.exceptions.
EXCEPTIONS: Mapping[str, FailureClass] = {
    "dbt_common.exceptions.base.CompilationError": _C,
    "dbt.exceptions.CompilationError": _C,
    "dbt_common.exceptions.contracts.ContractError": _D,
    "dbt.exceptions.ParsingError": _C,
    "dbt_common.exceptions.events.EventCompilationError": _C,
    "dbt.adapters.exceptions.connection.FailedToConnectError": _T,
    "dbt.adapters.exceptions.compilation.MissingMaterializationError": _C,
    "jinja2.exceptions.TemplateError": _C,
    "ConnectionException": _T,
    "ConnectionError": _T,
    "TransactionException": _T,
    "HTTPException": _T,
    "TimeoutError": _T,
    "ConstraintException": _D,
    "ConversionException": _D,
    "OutOfRangeException": _D,
    "TypeMismatchException": _D,
    "InvalidInputException": _D,
    "BinderException": _C,
    "CatalogException": _C,
    "ParserException": _C,
    "SyntaxException": _C,
    "PermissionException": _C,
    "NotImplementedException": _C,
    "ImportError": _C,
    "NameError": _C,
    "SyntaxError": _C,
    "TypeError": _C,
    "AttributeError": _C,
    "KeyError": _C,
}


def _patterns(
    *entries: tuple[str, FailureClass],
) -> Sequence[tuple[re.Pattern[str], FailureClass]]:
    return [(re.compile(pattern, re.IGNORECASE), found) for pattern, found in entries]


#: Words of a message that say more than its exception's class, so they come before it: DuckDB
#: calls a held lock an IO error, and psycopg2 has no SQLSTATE where connecting failed
#: (https://www.psycopg.org/docs/errors.html), whatever the reason was.
DECISIVE = _patterns(
    (r"could not set lock on file|conflicting lock is held", _T),
    (r"database is locked|could not obtain lock|lock timeout|lock wait timeout", _T),
    # https://www.postgresql.org/docs/current/client-authentication-problems.html
    (r"password authentication failed|no password supplied|no pg_hba\.conf entry", _C),
    (r"FATAL: +(?:database|role|user name) .* (?:does not exist|is not permitted to log in)", _C),
)

#: Documented words of a message to class; looked at last.
#: Sources: the adapters' own lists of errors they retry (dbt-snowflake, dbt-bigquery,
#: dbt-databricks: "could not be scheduled", rateLimitExceeded, backendError).
MESSAGES = _patterns(
    (r"connection (?:was )?(?:lost|refused|reset|closed|aborted|timed out)", _T),
    (r"server closed the connection|broken pipe|no route to host|network is unreachable", _T),
    (
        r"could not connect to server|connection to server .* failed|could not translate host",
        _T,
    ),
    (r"deadlock|serialization failure|could not serialize|transaction conflict", _T),
    (r"conflict on (?:tuple|update)|write-write conflict", _T),
    (r"rate ?limit|too many (?:requests|connections)|quota exceeded|slow down", _T),
    (
        r"temporarily unavailable|service unavailable|bad gateway|gateway time-?out|try again",
        _T,
    ),
    (r"could not be scheduled|backend ?error|internal ?error encountered|jobs? ?rate", _T),
    (r"\b(?:HTTP|status)[ :]*(?:429|500|502|503|504)\b", _T),
    (
        r"(?:does not exist|not found|could not find) ?(?:in|!|$|\n)|no such (?:table|column)",
        _C,
    ),
    (r"(?:syntax|parser|binder|catalog|compilation) error|permission denied", _C),
    (r"violates|constraint error|conversion error|could not convert|contract", _D),
)


def classify(evidence: Sequence[Mapping[str, Any]], message: str) -> FailureClass:
    """Class of a failure.

    ``evidence`` is the chain of an exception, outermost first; each link has ``classes`` (dotted
    names, most specific first), ``sqlstate`` and ``message``. In this order: SQLSTATE, decisive
    words, exception class, other words.
    """
    for link in evidence:
        found = _by_sqlstate(link.get("sqlstate"))
        if found is not None:
            return found
    for pattern, found in DECISIVE:
        if pattern.search(message):
            return found
    for link in reversed(evidence):
        found = _by_class(link.get("classes") or ())
        if found is not None:
            return found
    texts = [message, *(str(link.get("message") or "") for link in evidence)]
    for pattern, found in MESSAGES:
        if any(pattern.search(text) for text in texts):
            return found
    return FailureClass.UNKNOWN


def _by_sqlstate(sqlstate: str | None) -> FailureClass | None:
    if not sqlstate:
        return None
    return SQLSTATES.get(sqlstate) or SQLSTATES.get(sqlstate[:2])


def _by_class(classes: Sequence[str]) -> FailureClass | None:
    for name in classes:
        found = EXCEPTIONS.get(name) or EXCEPTIONS.get(name.rpartition(".")[2])
        if found is not None:
            return found
    return None
