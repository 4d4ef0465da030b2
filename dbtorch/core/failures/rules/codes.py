"""Numbers and names that drivers and the operating system have for errors."""

from __future__ import annotations

from dbtorch.core.failures.rules.writing import (
    CODE,
    DATA,
    TIMEOUT,
    TRANSIENT,
    UNKNOWN,
    Section,
    code,
    from_source,
    says,
)

_SNOWFLAKE = "snowflake.connector"
_GOOGLE = "google.api_core"
_TRINO = "trino.exceptions"
_AWS = "botocore"

#: Numbers and names of drivers. They come before SQLSTATEs, because they are more exact: Snowflake
#: uses 57P03 for a session without a warehouse and 57014 for a lock that somebody holds.
CODES = Section(
    "The driver's own number or name",
    (
        *from_source(
            "https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/"
            "connector/errorcode.py",
            says(CODE, "wrong user or password", "incorrect username or password", _SNOWFLAKE),
            code(TRANSIENT, "failed to connect", _SNOWFLAKE, "250001 251012"),
            code(TRANSIENT, "connection closed, request failed", _SNOWFLAKE, "250002 250003"),
            code(TRANSIENT, "service not reached in time", _SNOWFLAKE, "250005 251011"),
            code(TRANSIENT, "session not renewed", _SNOWFLAKE, "252007"),
            code(TRANSIENT, "part of a result not downloaded", _SNOWFLAKE, "252010"),
            code(TRANSIENT, "stage not reached", _SNOWFLAKE, "253002 253003"),
            code(CODE, "key of the user is no good", _SNOWFLAKE, "251008"),
        ),
        *from_source(
            "https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting",
            code(CODE, "the key does not fit the user", _SNOWFLAKE, "390144"),
        ),
        *from_source(
            "https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/"
            "connector/network.py",
            code(TRANSIENT, "session or its token has expired", _SNOWFLAKE, "390112 390114"),
        ),
        *from_source(
            "https://github.com/snowflakedb/pdo_snowflake/issues/179",
            code(CODE, "no active warehouse: role or profile is wrong", _SNOWFLAKE, "606"),
        ),
        *from_source(
            "https://docs.snowflake.com/en/sql-reference/parameters#lock-timeout",
            code(TRANSIENT, "a lock was not released in time", _SNOWFLAKE, "625"),
        ),
        *from_source(
            "https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds",
            code(TIMEOUT, "statement or warehouse timeout", _SNOWFLAKE, "630"),
        ),
        *from_source(
            "https://docs.snowflake.com/en/user-guide/security-access-control-overview",
            code(CODE, "does not exist or not authorized", _SNOWFLAKE, "2003 2043 3001"),
        ),
        *from_source(
            "https://cloud.google.com/bigquery/docs/error-messages",
            code(
                TRANSIENT,
                "too much at once",
                _GOOGLE,
                "rateLimitExceeded jobRateLimitExceeded quotaExceeded",
            ),
            code(
                TRANSIENT,
                "BigQuery's own trouble",
                _GOOGLE,
                "backendError jobBackendError internalError jobInternalError",
            ),
            code(
                TRANSIENT, "in use, or not available now", _GOOGLE, "resourceInUse tableUnavailable"
            ),
            code(TIMEOUT, "the job was cancelled, or took too long", _GOOGLE, "stopped timeout"),
            code(CODE, "no permission", _GOOGLE, "accessDenied blocked billingNotEnabled"),
            code(
                CODE,
                "invalid query, or one that needs too much",
                _GOOGLE,
                "invalidQuery notFound duplicate responseTooLarge resourcesExceeded "
                "bytesBilledLimitExceeded",
            ),
        ),
        *from_source(
            "https://github.com/trinodb/trino/blob/master/core/trino-spi/src/main/java/io/trino/spi/"
            "StandardErrorCode.java",
            code(
                TRANSIENT,
                "a node of the cluster is gone or not there yet",
                _TRINO,
                "TOO_MANY_REQUESTS_FAILED PAGE_TRANSPORT_ERROR PAGE_TRANSPORT_TIMEOUT "
                "NO_NODES_AVAILABLE REMOTE_TASK_ERROR REMOTE_TASK_MISMATCH REMOTE_HOST_GONE "
                "REMOTE_BUFFER_CLOSE_FAILED ABANDONED_TASK SERVER_SHUTTING_DOWN "
                "SERVER_STARTING_UP CONFIGURATION_UNAVAILABLE",
            ),
            code(TRANSIENT, "somebody else wrote", _TRINO, "TRANSACTION_CONFLICT ABANDONED_QUERY"),
            code(
                TIMEOUT, "took longer than it may", _TRINO, "EXCEEDED_TIME_LIMIT OPTIMIZER_TIMEOUT"
            ),
            code(
                CODE,
                "needs more than one query may have",
                _TRINO,
                "EXCEEDED_LOCAL_MEMORY_LIMIT EXCEEDED_CPU_LIMIT EXCEEDED_SPILL_LIMIT "
                "EXCEEDED_SCAN_LIMIT",
            ),
            code(
                DATA,
                "a bad row",
                _TRINO,
                "DIVISION_BY_ZERO INVALID_CAST_ARGUMENT INVALID_FUNCTION_ARGUMENT "
                "NUMERIC_VALUE_OUT_OF_RANGE CONSTRAINT_VIOLATION SUBQUERY_MULTIPLE_ROWS",
            ),
            code(UNKNOWN, "ended by hand", _TRINO, "USER_CANCELED ADMINISTRATIVELY_KILLED"),
            code(TRANSIENT, "the cluster has too much to do", _TRINO, "INSUFFICIENT_RESOURCES"),
            code(TRANSIENT, "what is behind a catalog does not answer", _TRINO, "EXTERNAL"),
            code(CODE, "wrong query, or no permission", _TRINO, "USER_ERROR"),
        ),
        *from_source(
            "https://docs.databricks.com/aws/en/error-messages/error-classes",
            code(
                TRANSIENT,
                "too much at once",
                "databricks",
                "REQUEST_LIMIT_EXCEEDED RESOURCE_EXHAUSTED TEMPORARILY_UNAVAILABLE",
            ),
            says(
                TRANSIENT,
                "somebody else wrote (Delta)",
                r"\[DELTA_CONCURRENT_|\bConcurrentAppendExc",
            ),
        ),
        *from_source(
            "https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html",
            code(
                TRANSIENT,
                "too much at once, or AWS's own trouble",
                _AWS,
                "Throttling ThrottlingException ThrottledException RequestThrottled "
                "TooManyRequestsException ProvisionedThroughputExceededException "
                "RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown "
                "RequestTimeout RequestTimeoutException",
            ),
            code(TRANSIENT, "credentials have expired", _AWS, "ExpiredToken ExpiredTokenException"),
        ),
        *from_source(
            "https://docs.python.org/3/library/errno.html",
            code(
                TRANSIENT,
                "network",
                "",
                "ECONNABORTED ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT EHOSTDOWN EHOSTUNREACH "
                "ENETDOWN ENETUNREACH",
            ),
            code(
                TRANSIENT,
                "the machine has none left, or somebody holds it",
                "",
                "EAGAIN EBUSY EDEADLK EINTR EMFILE ENFILE ENOBUFS ENOLCK ENOMEM ENOSPC EDQUOT "
                "ESTALE ETXTBSY",
            ),
            code(CODE, "permission denied", "", "EACCES EPERM EROFS"),
        ),
    ),
)
