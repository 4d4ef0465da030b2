"""The built-in table of failure classes: every entry with what it means and where that is written.

`docs/failures.md` shows it (`.ci/failures_docs.py` writes it there).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.state import FailureClass

_T, _D, _C = FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.CODE
_O, _U = FailureClass.TIMEOUT, FailureClass.UNKNOWN


@dataclass(frozen=True, slots=True)
class Section:
    """Rules of one kind of evidence; the first that fits decides."""

    title: str
    rules: tuple[Rule, ...]


def _from(source: str, *rules: Rule) -> tuple[Rule, ...]:
    return tuple(replace(rule, source=source) for rule in rules)


def _code(found: FailureClass, meaning: str, package: str, codes: str) -> Rule:
    package_only = (package,) if package else ()
    errno = tuple(codes.split())
    return Rule(failure_class=found, meaning=meaning, exception=package_only, errno=errno)


def _state(found: FailureClass, meaning: str, states: str) -> Rule:
    return Rule(failure_class=found, meaning=meaning, sqlstate=tuple(states.split()))


def _raised(found: FailureClass, meaning: str, classes: str) -> Rule:
    return Rule(failure_class=found, meaning=meaning, exception=tuple(classes.split()))


def _http(found: FailureClass, meaning: str, statuses: str) -> Rule:
    return Rule(failure_class=found, meaning=meaning, http_status=tuple(statuses.split()))


def _exit(found: FailureClass, meaning: str, *statuses: int) -> Rule:
    return Rule(failure_class=found, meaning=meaning, exit_status=statuses)


def _says(found: FailureClass, meaning: str, pattern: str, *classes: str) -> Rule:
    return Rule(failure_class=found, meaning=meaning, message=pattern, exception=classes)


_SNOWFLAKE = "snowflake.connector"
_GOOGLE = "google.api_core"
_TRINO = "trino.exceptions"
_AWS = "botocore"

#: Numbers and names of drivers. They come before SQLSTATEs, because they are more exact: Snowflake
#: uses 57P03 for a session without a warehouse and 57014 for a lock that somebody holds.
_CODES = Section(
    "The driver's own number or name",
    (
        *_from(
            "https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/"
            "connector/errorcode.py",
            _says(_C, "wrong user or password", "incorrect username or password", _SNOWFLAKE),
            _code(_T, "failed to connect", _SNOWFLAKE, "250001 251012"),
            _code(_T, "connection closed, request failed", _SNOWFLAKE, "250002 250003"),
            _code(_T, "service not reached in time", _SNOWFLAKE, "250005 251011"),
            _code(_T, "session not renewed", _SNOWFLAKE, "252007"),
            _code(_T, "part of a result not downloaded", _SNOWFLAKE, "252010"),
            _code(_T, "stage not reached", _SNOWFLAKE, "253002 253003"),
            _code(_C, "key of the user is no good", _SNOWFLAKE, "251008"),
        ),
        *_from(
            "https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting",
            _code(_C, "the key does not fit the user", _SNOWFLAKE, "390144"),
        ),
        *_from(
            "https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/"
            "connector/network.py",
            _code(_T, "session or its token has expired", _SNOWFLAKE, "390112 390114"),
        ),
        *_from(
            "https://github.com/snowflakedb/pdo_snowflake/issues/179",
            _code(_C, "no active warehouse: role or profile is wrong", _SNOWFLAKE, "606"),
        ),
        *_from(
            "https://docs.snowflake.com/en/sql-reference/parameters#lock-timeout",
            _code(_T, "a lock was not released in time", _SNOWFLAKE, "625"),
        ),
        *_from(
            "https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds",
            _code(_O, "statement or warehouse timeout", _SNOWFLAKE, "630"),
        ),
        *_from(
            "https://docs.snowflake.com/en/user-guide/security-access-control-overview",
            _code(_C, "does not exist or not authorized", _SNOWFLAKE, "2003 2043 3001"),
        ),
        *_from(
            "https://cloud.google.com/bigquery/docs/error-messages",
            _code(
                _T,
                "too much at once",
                _GOOGLE,
                "rateLimitExceeded jobRateLimitExceeded quotaExceeded",
            ),
            _code(
                _T,
                "BigQuery's own trouble",
                _GOOGLE,
                "backendError jobBackendError internalError jobInternalError",
            ),
            _code(_T, "in use, or not available now", _GOOGLE, "resourceInUse tableUnavailable"),
            _code(_O, "the job was cancelled, or took too long", _GOOGLE, "stopped timeout"),
            _code(_C, "no permission", _GOOGLE, "accessDenied blocked billingNotEnabled"),
            _code(
                _C,
                "invalid query, or one that needs too much",
                _GOOGLE,
                "invalidQuery notFound duplicate responseTooLarge resourcesExceeded "
                "bytesBilledLimitExceeded",
            ),
        ),
        *_from(
            "https://github.com/trinodb/trino/blob/master/core/trino-spi/src/main/java/io/trino/spi/"
            "StandardErrorCode.java",
            _code(
                _T,
                "a node of the cluster is gone or not there yet",
                _TRINO,
                "TOO_MANY_REQUESTS_FAILED PAGE_TRANSPORT_ERROR PAGE_TRANSPORT_TIMEOUT "
                "NO_NODES_AVAILABLE REMOTE_TASK_ERROR REMOTE_TASK_MISMATCH REMOTE_HOST_GONE "
                "REMOTE_BUFFER_CLOSE_FAILED ABANDONED_TASK SERVER_SHUTTING_DOWN "
                "SERVER_STARTING_UP CONFIGURATION_UNAVAILABLE",
            ),
            _code(_T, "somebody else wrote", _TRINO, "TRANSACTION_CONFLICT ABANDONED_QUERY"),
            _code(_O, "took longer than it may", _TRINO, "EXCEEDED_TIME_LIMIT OPTIMIZER_TIMEOUT"),
            _code(
                _C,
                "needs more than one query may have",
                _TRINO,
                "EXCEEDED_LOCAL_MEMORY_LIMIT EXCEEDED_CPU_LIMIT EXCEEDED_SPILL_LIMIT "
                "EXCEEDED_SCAN_LIMIT",
            ),
            _code(
                _D,
                "a bad row",
                _TRINO,
                "DIVISION_BY_ZERO INVALID_CAST_ARGUMENT INVALID_FUNCTION_ARGUMENT "
                "NUMERIC_VALUE_OUT_OF_RANGE CONSTRAINT_VIOLATION SUBQUERY_MULTIPLE_ROWS",
            ),
            _code(_U, "ended by hand", _TRINO, "USER_CANCELED ADMINISTRATIVELY_KILLED"),
            _code(_T, "the cluster has too much to do", _TRINO, "INSUFFICIENT_RESOURCES"),
            _code(_T, "what is behind a catalog does not answer", _TRINO, "EXTERNAL"),
            _code(_C, "wrong query, or no permission", _TRINO, "USER_ERROR"),
        ),
        *_from(
            "https://docs.databricks.com/aws/en/error-messages/error-classes",
            _code(
                _T,
                "too much at once",
                "databricks",
                "REQUEST_LIMIT_EXCEEDED RESOURCE_EXHAUSTED TEMPORARILY_UNAVAILABLE",
            ),
            _says(_T, "somebody else wrote (Delta)", r"\[DELTA_CONCURRENT_|\bConcurrentAppendExc"),
        ),
        *_from(
            "https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html",
            _code(
                _T,
                "too much at once, or AWS's own trouble",
                _AWS,
                "Throttling ThrottlingException ThrottledException RequestThrottled "
                "TooManyRequestsException ProvisionedThroughputExceededException "
                "RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown "
                "RequestTimeout RequestTimeoutException",
            ),
            _code(_T, "credentials have expired", _AWS, "ExpiredToken ExpiredTokenException"),
        ),
        *_from(
            "https://docs.python.org/3/library/errno.html",
            _code(
                _T,
                "network",
                "",
                "ECONNABORTED ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT EHOSTDOWN EHOSTUNREACH "
                "ENETDOWN ENETUNREACH",
            ),
            _code(
                _T,
                "the machine has none left, or somebody holds it",
                "",
                "EAGAIN EBUSY EDEADLK EINTR EMFILE ENFILE ENOBUFS ENOLCK ENOMEM ENOSPC EDQUOT "
                "ESTALE ETXTBSY",
            ),
            _code(_C, "permission denied", "", "EACCES EPERM EROFS"),
        ),
    ),
)

#: Subclasses of a SQLSTATE before their class.
_SQLSTATES = Section(
    "SQLSTATE, or its first two characters",
    (
        *_from(
            "https://www.postgresql.org/docs/current/errcodes-appendix.html",
            _state(_T, "serialization failure, deadlock", "40001 40P01"),
            _state(_T, "statement completion unknown, rollback", "40003 40000"),
            _state(_D, "transaction broke a constraint", "40002"),
            _state(_T, "lock held, object in use", "55P03 55006"),
            _state(_O, "query cancelled: statement timeout, or by hand", "57014"),
            _state(_O, "transaction timeout", "25P04"),
            _state(_T, "connection closed after being idle", "25P03 57P05"),
            _state(_T, "shutdown, crash, not accepting connections", "57P01 57P02 57P03"),
            _state(_C, "database dropped", "57P04"),
            _state(_C, "file of an extension missing", "58P01"),
            _state(_C, "program limit: too complex, too many columns", "54"),
            _state(_D, "raised by a function: no rows, too many rows, assertion", "P0"),
            _state(_T, "foreign server not reached", "HV00N"),
            _state(_T, "snapshot too old", "72000"),
            _state(_T, "connection exception", "08"),
            _state(_T, "insufficient resources: connections, disk, memory", "53"),
            _state(_T, "system error outside of the database", "58"),
            _state(_D, "cardinality violation: more than one row", "21"),
            _state(_D, "data exception: division by zero, bad cast", "22"),
            _state(_D, "constraint violation", "23"),
            _state(_D, "check option violation", "44"),
            _state(_D, "case not found, trigger or routine failed", "20 27 38 39"),
            _state(_C, "not in the state, or role, that it needs", "0L 0P 24 26 34 3B 55"),
            _state(_C, "object others depend on", "2B"),
            _state(_C, "invalid authorization", "28"),
            _state(_C, "invalid catalog or schema", "3D 3F"),
            _state(_C, "syntax, missing relation or column, no permission", "42"),
            _state(_C, "feature not supported", "0A"),
        ),
        *_from(
            "https://docs.databricks.com/aws/en/error-messages/sqlstates",
            _state(_T, "conflict with another transaction", "2D521"),
        ),
        *_from(
            "https://learn.microsoft.com/en-us/sql/odbc/reference/appendixes/"
            "appendix-a-odbc-error-codes",
            _state(_O, "timeout expired", "HYT00"),
            _state(_T, "connection timeout expired", "HYT01"),
            _state(_O, "cancelled", "HY008"),
        ),
    ),
)

#: What a process left behind, and what a server answered.
_STATUSES = Section(
    "Exit status of a step, or HTTP status",
    (
        *_from(
            "https://man7.org/linux/man-pages/man3/sysexits.h.3head.html",
            _exit(_T, "EX_TEMPFAIL: try again later", 75),
            _exit(_C, "EX_USAGE, EX_NOPERM, EX_CONFIG", 64, 77, 78),
            _exit(_D, "EX_DATAERR", 65),
        ),
        *_from(
            "https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html",
            _exit(_C, "cannot be executed, or is not there", 126, 127),
            _exit(_T, "killed from outside (HUP, KILL, TERM)", 129, 137, 143),
            _exit(_T, "crashed (ABRT, BUS, SEGV)", 134, 135, 139),
        ),
        *_from(
            "https://www.gnu.org/software/coreutils/manual/html_node/timeout-invocation.html",
            _exit(_O, "timeout(1): took longer than it may", 124),
        ),
        *_from(
            "https://www.rfc-editor.org/rfc/rfc9110#name-status-codes",
            _http(_T, "later rather than never", "408 425 429"),
            _http(_C, "the server will never do that", "501 505"),
            _http(_T, "the server's own trouble", "5xx"),
            _http(_C, "the request is wrong", "4xx"),
            _http(_C, "not the status that `expect` names", "1xx 2xx 3xx"),
        ),
    ),
)

#: Words that say more than their exception's class: DuckDB calls a held lock an IO error, psycopg2
#: has no SQLSTATE where connecting failed, Redshift none but XX000 for a conflict.
_DECISIVE = Section(
    "Words that say more than the exception's class",
    (
        *_from(
            "https://duckdb.org/docs/stable/connect/concurrency",
            _says(
                _T, "another process has the file", r"could not set lock on file|conflicting lock"
            ),
            _says(_T, "somebody else wrote", r"write-write conflict|conflict on (?:tuple|update)"),
            _says(_T, "somebody else wrote", r"transaction conflict"),
        ),
        *_from(
            "https://duckdb.org/docs/stable/data/multiple_files/overview",
            _says(_C, "no file of that name", r"no files found that match"),
            _says(_C, "no such extension", r'extension "[^"\n]*" not found'),
        ),
        *_from(
            "https://www.sqlite.org/rescode.html#busy",
            _says(_T, "somebody else writes", r"database (?:table )?is locked"),
        ),
        *_from(
            "https://www.postgresql.org/docs/current/client-authentication-problems.html",
            _says(_C, "wrong password", r"password authentication failed|no password supplied"),
            _says(_C, "the server lets nobody in from here", r"no pg_hba\.conf entry"),
            _says(
                _C,
                "no such database or role",
                r"FATAL: +(?:database|role|user name) .* (?:does not exist|is not permitted to)",
            ),
        ),
        *_from(
            "https://www.postgresql.org/docs/current/server-start.html",
            _says(
                _T, "not there yet, or leaving", r"database system is (?:starting|shutting|in r)"
            ),
            _says(_T, "too many connections", r"too many clients|connection slots are reserved"),
        ),
        *_from(
            "https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-"
            "troubleshooting.html",
            _says(_T, "somebody else wrote", r"serializable isolation violation"),
        ),
        *_from(
            "https://www.postgresql.org/docs/current/explicit-locking.html",
            _says(_T, "lock held", r"could not obtain lock|lock(?: wait)? timeout"),
        ),
    ),
)

_EXCEPTIONS = Section(
    "Class of the exception, or one it inherits from",
    (
        *_from(
            "https://docs.getdbt.com/reference/resource-configs/contract",
            _raised(_D, "columns break the contract", "dbt.exceptions.ContractError"),
        ),
        *_from(
            "https://github.com/dbt-labs/dbt-common/blob/main/dbt_common/exceptions/base.py",
            _raised(
                _C,
                "dbt could not compile or parse",
                "dbt_common.exceptions.base.CompilationError dbt.exceptions.CompilationError "
                "dbt.exceptions.ParsingError dbt_common.exceptions.base.DbtConfigError "
                "dbt_common.exceptions.base.DbtValidationError "
                "dbt_common.exceptions.base.NotImplementedError",
            ),
        ),
        *_from(
            "https://github.com/dbt-labs/dbt-adapters/blob/main/dbt-adapters/src/dbt/adapters/"
            "exceptions/connection.py",
            _raised(_T, "dbt could not connect", "FailedToConnectError"),
        ),
        *_from(
            "https://jinja.palletsprojects.com/en/stable/api/#exceptions",
            _raised(_C, "wrong template", "jinja2.exceptions.TemplateError"),
        ),
        *_from(
            "https://docs.python.org/3/library/ssl.html#ssl.SSLCertVerificationError",
            _raised(_C, "certificate refused", "SSLCertVerificationError"),
        ),
        *_from(
            "https://requests.readthedocs.io/en/latest/api/#exceptions",
            _raised(
                _C,
                "wrong URL or header",
                "MissingSchema InvalidSchema InvalidURL InvalidHeader",
            ),
            _raised(
                _T,
                "no answer",
                "requests.exceptions.ConnectionError requests.exceptions.Timeout "
                "requests.exceptions.ChunkedEncodingError",
            ),
        ),
        *_from(
            "https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html",
            _raised(
                _T,
                "no answer",
                "urllib3.exceptions.TimeoutError urllib3.exceptions.ProtocolError "
                "urllib3.exceptions.NewConnectionError urllib3.exceptions.MaxRetryError",
            ),
        ),
        *_from(
            "https://www.python-httpx.org/exceptions/",
            _raised(_C, "wrong URL", "httpx.UnsupportedProtocol"),
            _raised(_T, "no answer", "httpx.TransportError"),
        ),
        *_from(
            "https://docs.python.org/3/library/urllib.error.html",
            _raised(_T, "no answer", "urllib.error.URLError socket.gaierror socket.herror"),
            _raised(_T, "broken answer", "http.client.HTTPException"),
        ),
        *_from(
            "https://googleapis.dev/python/google-api-core/latest/exceptions.html",
            _raised(_T, "retried in vain", "google.api_core.exceptions.RetryError"),
            _raised(_T, "no token now", "google.auth.exceptions.TransportError"),
            _raised(
                _C,
                "no credentials",
                "google.auth.exceptions.DefaultCredentialsError "
                "google.auth.exceptions.RefreshError",
            ),
        ),
        *_from(
            "https://github.com/databricks/databricks-sql-python/blob/main/src/databricks/sql/exc.py",
            _raised(
                _T,
                "request failed",
                "databricks.sql.exc.RequestError databricks.sql.exc.InvalidServerResponseError",
            ),
        ),
        *_from(
            "https://github.com/trinodb/trino-python-client/blob/master/trino/exceptions.py",
            _raised(
                _T,
                "coordinator or proxy does not answer",
                "Http502Error Http503Error Http504Error TrinoConnectionError",
            ),
            _raised(_C, "not let in", "TrinoAuthError"),
        ),
        *_from(
            "https://boto3.amazonaws.com/v1/documentation/api/latest/guide/error-handling.html",
            _raised(
                _T,
                "no answer",
                "botocore.exceptions.ConnectionError botocore.exceptions.HTTPClientError",
            ),
            _raised(_C, "no credentials", "botocore.exceptions.NoCredentialsError"),
        ),
        *_from(
            "https://duckdb.org/docs/stable/clients/python/reference/#duckdb.Error",
            _raised(_T, "conflict, or out of memory", "TransactionException OutOfMemoryException"),
            _raised(_T, "connection, or in use", "ConnectionException ResourceInUseException"),
            _raised(_D, "constraint broken", "ConstraintException"),
            _raised(
                _D,
                "a bad row",
                "ConversionException OutOfRangeException TypeMismatchException "
                "InvalidInputException SequenceException",
            ),
            _raised(_C, "wrong SQL", "BinderException ParserException SyntaxException"),
            _raised(_C, "missing, or needed by others", "CatalogException DependencyException"),
            _raised(
                _C,
                "not allowed, not there",
                "PermissionException NotImplementedException InvalidTypeException",
            ),
        ),
        *_from(
            "https://docs.python.org/3/library/exceptions.html",
            _raised(_T, "network", "ConnectionError TimeoutError BlockingIOError"),
            _raised(
                _C,
                "no permission, no such file",
                "builtins.PermissionError builtins.FileNotFoundError "
                "builtins.IsADirectoryError builtins.NotADirectoryError",
            ),
            _raised(_T, "out of memory", "builtins.MemoryError"),
            _raised(
                _C,
                "wrong Python code",
                "builtins.ImportError builtins.NameError builtins.SyntaxError "
                "builtins.TypeError builtins.AttributeError builtins.KeyError "
                "builtins.NotImplementedError builtins.RecursionError",
            ),
        ),
        *_from(
            "https://peps.python.org/pep-0249/#exceptions",
            _raised(_D, "a bad row, a constraint broken", "IntegrityError DataError"),
            _raised(_C, "wrong SQL, not supported", "ProgrammingError NotSupportedError"),
        ),
    ),
)

_MESSAGES = Section(
    "Words of the message",
    (
        *_from(
            "https://www.postgresql.org/docs/current/server-start.html#CLIENT-CONNECTION-PROBLEMS",
            _says(
                _T,
                "connection lost, refused, not made",
                r"connection (?:was )?(?:lost|refused|reset|closed|aborted|timed out)",
            ),
            _says(_T, "connection lost", r"server closed the connection|broken pipe"),
            _says(_T, "not reached", r"no route to host|network is unreachable"),
            _says(
                _T,
                "connection not made",
                r"could not connect to server|connection to server .* failed",
            ),
            _says(_T, "name not resolved", r"could not translate host|name resolution"),
        ),
        *_from(
            "https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html",
            _says(_T, "deadlock, conflict", r"deadlock|serialization failure|could not serialize"),
        ),
        *_from(
            "https://www.rfc-editor.org/rfc/rfc6585#section-4",
            _says(_T, "too much at once", r"rate ?limit|too many (?:requests|connections)"),
            _says(_T, "too much at once", r"quota exceeded|slow down"),
        ),
        *_from(
            "https://www.rfc-editor.org/rfc/rfc9110#name-server-error-5xx",
            _says(_T, "not now", r"temporarily unavailable|service unavailable|try again"),
            _says(_T, "not now", r"bad gateway|gateway time-?out"),
            _says(_T, "not now", r"\b(?:HTTP|status)(?: Error)?[ :]*(?:429|500|502|503|504)\b"),
        ),
        *_from(
            "https://github.com/databricks/dbt-databricks/issues/1063",
            _says(_T, "the warehouse has no room", r"could not be scheduled|please retry"),
        ),
        *_from(
            "https://cloud.google.com/bigquery/docs/error-messages",
            _says(_T, "BigQuery's own trouble", r"backend ?error|internal ?error encountered"),
        ),
        *_from(
            "https://www.postgresql.org/docs/current/runtime-config-client.html",
            _says(_O, "took longer than it may", r"statement timeout|query timed out"),
        ),
        *_from(
            "https://man7.org/linux/man-pages/man3/errno.3.html",
            _says(
                _C, "no such file or folder", r"no such file or directory|(?:is|not) a directory"
            ),
            _says(_C, "may only be read", r"read-only (?:file system|mode|transaction)"),
            _says(_T, "disk full, too many files", r"no space left on device|too many open files"),
        ),
        *_from(
            "https://docs.getdbt.com/guides/debug-errors",
            _says(_D, "constraint broken, bad row", r"violates|constraint error|conversion error"),
            _says(_D, "bad row", r"could not convert|division by zero|invalid input syntax"),
            _says(_D, "bad row", r"(?:invalid input|out of range|mismatch type|sequence) error:"),
            _says(_D, "raised by a function", r"PL/pgSQL [^\n]* at (?:RAISE|ASSERT|CASE)"),
            _says(
                _C, "not allowed, not there", r"(?:not implemented|permission|dependency) error:"
            ),
            _says(_C, "wrong SQL or Jinja", r"(?:syntax|parser|binder|catalog|compilation) error"),
            _says(_C, "no permission", r"permission denied|access denied|not authorized"),
            _says(
                _C,
                "missing relation or column",
                r"(?:does not exist|not found|could not find) ?(?:in|!|$|\n)",
            ),
            _says(_C, "missing relation or column", r"no such (?:table|column)"),
        ),
    ),
)

#: In the order in which they are asked.
TABLE = (_CODES, _SQLSTATES, _STATUSES, _DECISIVE, _EXCEPTIONS, _MESSAGES)
