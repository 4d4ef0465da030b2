"""Classes of exceptions, and words that say more than they do."""

from __future__ import annotations

from dbtorch.core.failures.rules.writing import (
    CODE,
    DATA,
    TRANSIENT,
    Section,
    from_source,
    raised,
    says,
)

#: Words that say more than their exception's class: DuckDB calls a held lock an IO error, psycopg2
#: has no SQLSTATE where connecting failed, Redshift none but XX000 for a conflict.
DECISIVE = Section(
    "Words that say more than the exception's class",
    (
        *from_source(
            "https://duckdb.org/docs/stable/connect/concurrency",
            says(
                TRANSIENT,
                "another process has the file",
                r"could not set lock on file|conflicting lock",
            ),
            says(
                TRANSIENT,
                "somebody else wrote",
                r"write-write conflict|conflict on (?:tuple|update)",
            ),
            says(TRANSIENT, "somebody else wrote", r"transaction conflict"),
        ),
        *from_source(
            "https://duckdb.org/docs/stable/data/multiple_files/overview",
            says(CODE, "no file of that name", r"no files found that match"),
            says(CODE, "no such extension", r'extension "[^"\n]*" not found'),
        ),
        *from_source(
            "https://www.sqlite.org/rescode.html#busy",
            says(TRANSIENT, "somebody else writes", r"database (?:table )?is locked"),
        ),
        *from_source(
            "https://www.postgresql.org/docs/current/client-authentication-problems.html",
            says(CODE, "wrong password", r"password authentication failed|no password supplied"),
            says(CODE, "the server lets nobody in from here", r"no pg_hba\.conf entry"),
            says(
                CODE,
                "no such database or role",
                r"FATAL: +(?:database|role|user name) .* (?:does not exist|is not permitted to)",
            ),
        ),
        *from_source(
            "https://www.postgresql.org/docs/current/server-start.html",
            says(
                TRANSIENT,
                "not there yet, or leaving",
                r"database system is (?:starting|shutting|in r)",
            ),
            says(
                TRANSIENT, "too many connections", r"too many clients|connection slots are reserved"
            ),
        ),
        *from_source(
            "https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation-serializable-isolation-"
            "troubleshooting.html",
            says(TRANSIENT, "somebody else wrote", r"serializable isolation violation"),
        ),
        *from_source(
            "https://www.postgresql.org/docs/current/explicit-locking.html",
            says(TRANSIENT, "lock held", r"could not obtain lock|lock(?: wait)? timeout"),
        ),
    ),
)

EXCEPTIONS = Section(
    "Class of the exception, or one it inherits from",
    (
        *from_source(
            "https://docs.getdbt.com/reference/resource-configs/contract",
            raised(DATA, "columns break the contract", "dbt.exceptions.ContractError"),
        ),
        *from_source(
            "https://github.com/dbt-labs/dbt-common/blob/main/dbt_common/exceptions/base.py",
            raised(
                CODE,
                "dbt could not compile or parse",
                "dbt_common.exceptions.base.CompilationError dbt.exceptions.CompilationError "
                "dbt.exceptions.ParsingError dbt_common.exceptions.base.DbtConfigError "
                "dbt_common.exceptions.base.DbtValidationError "
                "dbt_common.exceptions.base.NotImplementedError",
            ),
        ),
        *from_source(
            "https://github.com/dbt-labs/dbt-adapters/blob/main/dbt-adapters/src/dbt/adapters/"
            "exceptions/connection.py",
            raised(TRANSIENT, "dbt could not connect", "FailedToConnectError"),
        ),
        *from_source(
            "https://jinja.palletsprojects.com/en/stable/api/#exceptions",
            raised(CODE, "wrong template", "jinja2.exceptions.TemplateError"),
        ),
        *from_source(
            "https://docs.python.org/3/library/ssl.html#ssl.SSLCertVerificationError",
            raised(CODE, "certificate refused", "SSLCertVerificationError"),
        ),
        *from_source(
            "https://requests.readthedocs.io/en/latest/api/#exceptions",
            raised(
                CODE,
                "wrong URL or header",
                "MissingSchema InvalidSchema InvalidURL InvalidHeader",
            ),
            raised(
                TRANSIENT,
                "no answer",
                "requests.exceptions.ConnectionError requests.exceptions.Timeout "
                "requests.exceptions.ChunkedEncodingError",
            ),
        ),
        *from_source(
            "https://urllib3.readthedocs.io/en/stable/reference/urllib3.exceptions.html",
            raised(
                TRANSIENT,
                "no answer",
                "urllib3.exceptions.TimeoutError urllib3.exceptions.ProtocolError "
                "urllib3.exceptions.NewConnectionError urllib3.exceptions.MaxRetryError",
            ),
        ),
        *from_source(
            "https://www.python-httpx.org/exceptions/",
            raised(CODE, "wrong URL", "httpx.UnsupportedProtocol"),
            raised(TRANSIENT, "no answer", "httpx.TransportError"),
        ),
        *from_source(
            "https://docs.python.org/3/library/urllib.error.html",
            raised(TRANSIENT, "no answer", "urllib.error.URLError socket.gaierror socket.herror"),
            raised(TRANSIENT, "broken answer", "http.client.HTTPException"),
        ),
        *from_source(
            "https://googleapis.dev/python/google-api-core/latest/exceptions.html",
            raised(TRANSIENT, "retried in vain", "google.api_core.exceptions.RetryError"),
            raised(TRANSIENT, "no token now", "google.auth.exceptions.TransportError"),
            raised(
                CODE,
                "no credentials",
                "google.auth.exceptions.DefaultCredentialsError "
                "google.auth.exceptions.RefreshError",
            ),
        ),
        *from_source(
            "https://github.com/databricks/databricks-sql-python/blob/main/src/databricks/sql/exc.py",
            raised(
                TRANSIENT,
                "request failed",
                "databricks.sql.exc.RequestError databricks.sql.exc.InvalidServerResponseError",
            ),
        ),
        *from_source(
            "https://github.com/trinodb/trino-python-client/blob/master/trino/exceptions.py",
            raised(
                TRANSIENT,
                "coordinator or proxy does not answer",
                "Http502Error Http503Error Http504Error TrinoConnectionError",
            ),
            raised(CODE, "not let in", "TrinoAuthError"),
        ),
        *from_source(
            "https://boto3.amazonaws.com/v1/documentation/api/latest/guide/error-handling.html",
            raised(
                TRANSIENT,
                "no answer",
                "botocore.exceptions.ConnectionError botocore.exceptions.HTTPClientError",
            ),
            raised(CODE, "no credentials", "botocore.exceptions.NoCredentialsError"),
        ),
        *from_source(
            "https://duckdb.org/docs/stable/clients/python/reference/#duckdb.Error",
            raised(
                TRANSIENT, "conflict, or out of memory", "TransactionException OutOfMemoryException"
            ),
            raised(
                TRANSIENT, "connection, or in use", "ConnectionException ResourceInUseException"
            ),
            raised(DATA, "constraint broken", "ConstraintException"),
            raised(
                DATA,
                "a bad row",
                "ConversionException OutOfRangeException TypeMismatchException "
                "InvalidInputException SequenceException",
            ),
            raised(CODE, "wrong SQL", "BinderException ParserException SyntaxException"),
            raised(CODE, "missing, or needed by others", "CatalogException DependencyException"),
            raised(
                CODE,
                "not allowed, not there",
                "PermissionException NotImplementedException InvalidTypeException",
            ),
        ),
        *from_source(
            "https://docs.python.org/3/library/exceptions.html",
            raised(TRANSIENT, "network", "ConnectionError TimeoutError BlockingIOError"),
            raised(
                CODE,
                "no permission, no such file",
                "builtins.PermissionError builtins.FileNotFoundError "
                "builtins.IsADirectoryError builtins.NotADirectoryError",
            ),
            raised(TRANSIENT, "out of memory", "builtins.MemoryError"),
            raised(
                CODE,
                "wrong Python code",
                "builtins.ImportError builtins.NameError builtins.SyntaxError "
                "builtins.TypeError builtins.AttributeError builtins.KeyError "
                "builtins.NotImplementedError builtins.RecursionError",
            ),
        ),
        *from_source(
            "https://peps.python.org/pep-0249/#exceptions",
            raised(DATA, "a bad row, a constraint broken", "IntegrityError DataError"),
            raised(CODE, "wrong SQL, not supported", "ProgrammingError NotSupportedError"),
        ),
    ),
)
