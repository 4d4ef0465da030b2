"""Words of messages."""

from __future__ import annotations

from dbtorch.core.failures.rules.writing import (
    CODE,
    DATA,
    TIMEOUT,
    TRANSIENT,
    Section,
    from_source,
    says,
)

MESSAGES = Section(
    "Words of the message",
    (
        *from_source(
            "https://www.postgresql.org/docs/current/server-start.html#CLIENT-CONNECTION-PROBLEMS",
            says(
                TRANSIENT,
                "connection lost, refused, not made",
                r"connection (?:was )?(?:lost|refused|reset|closed|aborted|timed out)",
            ),
            says(TRANSIENT, "connection lost", r"server closed the connection|broken pipe"),
            says(TRANSIENT, "not reached", r"no route to host|network is unreachable"),
            says(
                TRANSIENT,
                "connection not made",
                r"could not connect to server|connection to server .* failed",
            ),
            says(TRANSIENT, "name not resolved", r"could not translate host|name resolution"),
        ),
        *from_source(
            "https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html",
            says(
                TRANSIENT,
                "deadlock, conflict",
                r"deadlock|serialization failure|could not serialize",
            ),
        ),
        *from_source(
            "https://www.rfc-editor.org/rfc/rfc6585#section-4",
            says(TRANSIENT, "too much at once", r"rate ?limit|too many (?:requests|connections)"),
            says(TRANSIENT, "too much at once", r"quota exceeded|slow down"),
        ),
        *from_source(
            "https://www.rfc-editor.org/rfc/rfc9110#name-server-error-5xx",
            says(TRANSIENT, "not now", r"temporarily unavailable|service unavailable|try again"),
            says(TRANSIENT, "not now", r"bad gateway|gateway time-?out"),
            says(
                TRANSIENT, "not now", r"\b(?:HTTP|status)(?: Error)?[ :]*(?:429|500|502|503|504)\b"
            ),
        ),
        *from_source(
            "https://github.com/databricks/dbt-databricks/issues/1063",
            says(TRANSIENT, "the warehouse has no room", r"could not be scheduled|please retry"),
        ),
        *from_source(
            "https://cloud.google.com/bigquery/docs/error-messages",
            says(
                TRANSIENT, "BigQuery's own trouble", r"backend ?error|internal ?error encountered"
            ),
        ),
        *from_source(
            "https://www.postgresql.org/docs/current/runtime-config-client.html",
            says(TIMEOUT, "took longer than it may", r"statement timeout|query timed out"),
        ),
        *from_source(
            "https://man7.org/linux/man-pages/man3/errno.3.html",
            says(
                CODE, "no such file or folder", r"no such file or directory|(?:is|not) a directory"
            ),
            says(CODE, "may only be read", r"read-only (?:file system|mode|transaction)"),
            says(
                TRANSIENT,
                "disk full, too many files",
                r"no space left on device|too many open files",
            ),
        ),
        *from_source(
            "https://docs.getdbt.com/guides/debug-errors",
            says(DATA, "constraint broken, bad row", r"violates|constraint error|conversion error"),
            says(DATA, "bad row", r"could not convert|division by zero|invalid input syntax"),
            says(DATA, "bad row", r"(?:invalid input|out of range|mismatch type|sequence) error:"),
            says(DATA, "raised by a function", r"PL/pgSQL [^\n]* at (?:RAISE|ASSERT|CASE)"),
            says(
                CODE, "not allowed, not there", r"(?:not implemented|permission|dependency) error:"
            ),
            says(CODE, "wrong SQL or Jinja", r"(?:syntax|parser|binder|catalog|compilation) error"),
            says(CODE, "no permission", r"permission denied|access denied|not authorized"),
            says(
                CODE,
                "missing relation or column",
                r"(?:does not exist|not found|could not find) ?(?:in|!|$|\n)",
            ),
            says(CODE, "missing relation or column", r"no such (?:table|column)"),
        ),
    ),
)
