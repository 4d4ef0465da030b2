"""SQLSTATEs, exit statuses and HTTP statuses."""

from __future__ import annotations

from dbtorch.core.failures.rules.writing import (
    CODE,
    DATA,
    TIMEOUT,
    TRANSIENT,
    Section,
    exit_status,
    from_source,
    http,
    sqlstate,
)

#: Subclasses of a SQLSTATE before their class.
SQLSTATES = Section(
    "SQLSTATE, or its first two characters",
    (
        *from_source(
            "https://www.postgresql.org/docs/current/errcodes-appendix.html",
            sqlstate(TRANSIENT, "serialization failure, deadlock", "40001 40P01"),
            sqlstate(TRANSIENT, "statement completion unknown, rollback", "40003 40000"),
            sqlstate(DATA, "transaction broke a constraint", "40002"),
            sqlstate(TRANSIENT, "lock held, object in use", "55P03 55006"),
            sqlstate(TIMEOUT, "query cancelled: statement timeout, or by hand", "57014"),
            sqlstate(TIMEOUT, "transaction timeout", "25P04"),
            sqlstate(TRANSIENT, "connection closed after being idle", "25P03 57P05"),
            sqlstate(TRANSIENT, "shutdown, crash, not accepting connections", "57P01 57P02 57P03"),
            sqlstate(CODE, "database dropped", "57P04"),
            sqlstate(CODE, "file of an extension missing", "58P01"),
            sqlstate(CODE, "program limit: too complex, too many columns", "54"),
            sqlstate(DATA, "raised by a function: no rows, too many rows, assertion", "P0"),
            sqlstate(TRANSIENT, "foreign server not reached", "HV00N"),
            sqlstate(TRANSIENT, "snapshot too old", "72000"),
            sqlstate(TRANSIENT, "connection exception", "08"),
            sqlstate(TRANSIENT, "insufficient resources: connections, disk, memory", "53"),
            sqlstate(TRANSIENT, "system error outside of the database", "58"),
            sqlstate(DATA, "cardinality violation: more than one row", "21"),
            sqlstate(DATA, "data exception: division by zero, bad cast", "22"),
            sqlstate(DATA, "constraint violation", "23"),
            sqlstate(DATA, "check option violation", "44"),
            sqlstate(DATA, "case not found, trigger or routine failed", "20 27 38 39"),
            sqlstate(CODE, "not in the state, or role, that it needs", "0L 0P 24 26 34 3B 55"),
            sqlstate(CODE, "object others depend on", "2B"),
            sqlstate(CODE, "invalid authorization", "28"),
            sqlstate(CODE, "invalid catalog or schema", "3D 3F"),
            sqlstate(CODE, "syntax, missing relation or column, no permission", "42"),
            sqlstate(CODE, "feature not supported", "0A"),
        ),
        *from_source(
            "https://docs.databricks.com/aws/en/error-messages/sqlstates",
            sqlstate(TRANSIENT, "conflict with another transaction", "2D521"),
        ),
        *from_source(
            "https://learn.microsoft.com/en-us/sql/odbc/reference/appendixes/"
            "appendix-a-odbc-error-codes",
            sqlstate(TIMEOUT, "timeout expired", "HYT00"),
            sqlstate(TRANSIENT, "connection timeout expired", "HYT01"),
            sqlstate(TIMEOUT, "cancelled", "HY008"),
        ),
    ),
)

#: What a process left behind, and what a server answered.
STATUSES = Section(
    "Exit status of a step, or HTTP status",
    (
        *from_source(
            "https://man7.org/linux/man-pages/man3/sysexits.h.3head.html",
            exit_status(TRANSIENT, "EX_TEMPFAIL: try again later", 75),
            exit_status(CODE, "EX_USAGE, EX_NOPERM, EX_CONFIG", 64, 77, 78),
            exit_status(DATA, "EX_DATAERR", 65),
        ),
        *from_source(
            "https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html",
            exit_status(CODE, "cannot be executed, or is not there", 126, 127),
            exit_status(TRANSIENT, "killed from outside (HUP, KILL, TERM)", 129, 137, 143),
            exit_status(TRANSIENT, "crashed (ABRT, BUS, SEGV)", 134, 135, 139),
        ),
        *from_source(
            "https://www.gnu.org/software/coreutils/manual/html_node/timeout-invocation.html",
            exit_status(TIMEOUT, "timeout(1): took longer than it may", 124),
        ),
        *from_source(
            "https://www.rfc-editor.org/rfc/rfc9110#name-status-codes",
            http(TRANSIENT, "later rather than never", "408 425 429"),
            http(CODE, "the server will never do that", "501 505"),
            http(TRANSIENT, "the server's own trouble", "5xx"),
            http(CODE, "the request is wrong", "4xx"),
            http(CODE, "not the status that `expect` names", "1xx 2xx 3xx"),
        ),
    ),
)
