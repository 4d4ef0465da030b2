"""Which class a failure is of: real exceptions, and the attributes of drivers that are not here."""

import socket
import ssl
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from typing import Any

import duckdb
import psycopg
import psycopg2
import pytest
import requests
from dbt.adapters.exceptions.connection import FailedToConnectError
from dbt.exceptions import ContractError, ParsingError
from dbt_common.exceptions import CompilationError, DbtDatabaseError, DbtRuntimeError

from dbtorch.adapters.dbt.dbtorch_worker.evidence import chain
from dbtorch.core.failures.classify import asked_delay, classify
from dbtorch.core.failures.evidence import Link, Rule
from dbtorch.core.failures.table import TABLE
from dbtorch.core.model.state import FailureClass

T, D, C, U = (
    FailureClass.TRANSIENT,
    FailureClass.DATA,
    FailureClass.CODE,
    FailureClass.UNKNOWN,
)
O = FailureClass.TIMEOUT  # noqa: E741


def driver(name: str, message: Any = "it failed", *bases: str, **attributes: Any) -> Exception:
    """An exception of a driver that is not installed: its dotted name, bases and attributes."""
    module, _, own = name.rpartition(".")
    inherited = tuple(type(base, (Exception,), {"__module__": module}) for base in bases)
    kind = type(own, inherited or (Exception,), {"__module__": module, **attributes})
    error: Exception = kind(message)
    return error


def raised(error: Exception, *, named: bool = True) -> BaseException:
    """The exception as dbt has it: an adapter caught it and raised one of its own.

    Most adapters name what they caught as its cause; dbt-bigquery does not.
    """
    try:
        try:
            raise error
        except Exception as caught:
            if named:
                raise DbtDatabaseError(str(caught)) from caught
            raise DbtDatabaseError(str(caught))
    except DbtDatabaseError as wrapped:
        return wrapped


def found(error: BaseException, rules: tuple[Rule, ...] = ()) -> FailureClass:
    return classify(chain(error), str(error), rules)


def snowflake(errno: int, sqlstate: str | None = None, message: str = "it failed") -> Exception:
    # raises ProgrammingError for nearly everything
    name = "snowflake.connector.errors.ProgrammingError"
    return driver(name, message, "DatabaseError", "Error", errno=errno, sqlstate=sqlstate)


def bigquery(name: str, code: HTTPStatus, reason: str | None = None) -> Exception:
    errors = [{"reason": reason, "message": "…"}] if reason else []
    return driver(
        f"google.api_core.exceptions.{name}", f"{code} it failed", code=code, errors=errors
    )


def redshift(state: str, message: str = "it failed") -> Exception:
    return driver(
        "redshift_connector.error.ProgrammingError", {"S": "ERROR", "C": state, "M": message}
    )


def databricks(name: str, message: str, **context: Any) -> Exception:
    return driver(f"databricks.sql.exc.{name}", message, "DatabaseError", context=context)


def trino(name: str, error_type: str) -> Exception:
    kind = {"USER_ERROR": "TrinoUserError", "EXTERNAL": "TrinoExternalError"}
    own = kind.get(error_type, "TrinoQueryError")
    return driver(f"trino.exceptions.{own}", "…", error_name=name, error_type=error_type)


def aws(code: str, status: int) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return driver("botocore.exceptions.ClientError", "…", response=response)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # -------- snowflake.connector: number, then SQLSTATE
        (snowflake(250001, "08001"), T),  # failed to connect
        (snowflake(250001, "08001", "Incorrect username or password was specified"), C),
        (snowflake(250003), T),  # request failed
        (snowflake(251011), T),  # connection timed out
        (snowflake(390114, "08001"), T),  # token has expired
        (snowflake(390144, "08001"), C),  # JWT is invalid
        (snowflake(606, "57P03"), C),  # no active warehouse, though Postgres' 57P03 passes
        (snowflake(625, "57014"), T),  # somebody holds the lock, though 57014 is a time-out
        (snowflake(630, "57014"), O),  # statement or warehouse timeout
        (snowflake(604, "57014"), O),  # cancelled
        (snowflake(2003, "02000"), C),  # does not exist or not authorized
        (snowflake(1003, "42000"), C),  # syntax
        (snowflake(904, "42000"), C),  # invalid identifier
        (snowflake(3001, "42501"), C),  # insufficient privileges
        (snowflake(100038, "22018"), D),  # numeric value is not recognized
        (snowflake(100072, "22000"), D),  # null in a column without
        # -------- google.api_core: reason, then HTTP status
        (bigquery("Forbidden", HTTPStatus.FORBIDDEN, "rateLimitExceeded"), T),
        (bigquery("Forbidden", HTTPStatus.FORBIDDEN, "quotaExceeded"), T),
        (bigquery("Forbidden", HTTPStatus.FORBIDDEN, "accessDenied"), C),
        (bigquery("BadRequest", HTTPStatus.BAD_REQUEST, "jobBackendError"), T),
        (bigquery("BadRequest", HTTPStatus.BAD_REQUEST, "invalidQuery"), C),
        (bigquery("BadRequest", HTTPStatus.BAD_REQUEST, "resourceInUse"), T),
        (bigquery("NotFound", HTTPStatus.NOT_FOUND, "notFound"), C),
        (bigquery("TooManyRequests", HTTPStatus.TOO_MANY_REQUESTS), T),
        (bigquery("ServiceUnavailable", HTTPStatus.SERVICE_UNAVAILABLE), T),
        (bigquery("InternalServerError", HTTPStatus.INTERNAL_SERVER_ERROR, "backendError"), T),
        (bigquery("Conflict", HTTPStatus.CONFLICT, "duplicate"), C),
        (driver("google.api_core.exceptions.RetryError"), T),
        (driver("google.auth.exceptions.DefaultCredentialsError"), C),
        (driver("google.auth.exceptions.TransportError"), T),
        # -------- databricks.sql: HTTP code of the context, condition and SQLSTATE of the text
        (databricks("RequestError", "Error during request", **{"http-code": 503}), T),
        (databricks("RequestError", "Error during request", **{"http-code": 403}), C),
        (databricks("RequestError", "Error during request", **{"http-code": None}), T),
        (databricks("ServerOperationError", "[TABLE_OR_VIEW_NOT_FOUND] … SQLSTATE: 42P01"), C),
        (databricks("ServerOperationError", "[DIVIDE_BY_ZERO] … SQLSTATE: 22012"), D),
        (
            databricks("ServerOperationError", "[DELTA_CONCURRENT_APPEND] … SQLSTATE: 2D521"),
            T,
        ),
        (databricks("ServerOperationError", "[DELTA_CONCURRENT_DELETE_READ] rows"), T),
        (databricks("ServerOperationError", "[REQUEST_LIMIT_EXCEEDED] …"), T),
        (
            databricks(  # https://github.com/databricks/dbt-databricks/issues/1063
                "ServerOperationError",
                "[INTERNAL_ERROR] Query could not be scheduled: HTTP Response code: 503. Please "
                "try again later. SQLSTATE: XX000",
            ),
            T,
        ),
        # -------- redshift_connector: fields of the answer
        (redshift("40001"), T),
        (redshift("42P01"), C),
        (redshift("23502"), D),
        (redshift("57014"), O),
        (redshift("XX000", "1023 Serializable isolation violation on table"), T),
        (redshift("XX000", "it failed"), C),  # no more than that it is a ProgrammingError
        # -------- trino: name, then type
        (trino("SYNTAX_ERROR", "USER_ERROR"), C),
        (trino("TABLE_NOT_FOUND", "USER_ERROR"), C),
        (trino("PERMISSION_DENIED", "USER_ERROR"), C),
        (trino("DIVISION_BY_ZERO", "USER_ERROR"), D),
        (trino("CONSTRAINT_VIOLATION", "USER_ERROR"), D),
        (trino("TRANSACTION_CONFLICT", "USER_ERROR"), T),
        (trino("USER_CANCELED", "USER_ERROR"), U),
        (trino("NO_NODES_AVAILABLE", "INTERNAL_ERROR"), T),
        (trino("REMOTE_HOST_GONE", "INTERNAL_ERROR"), T),
        (trino("SERVER_STARTING_UP", "INTERNAL_ERROR"), T),
        (trino("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR"), U),
        (trino("QUERY_QUEUE_FULL", "INSUFFICIENT_RESOURCES"), T),
        (trino("CLUSTER_OUT_OF_MEMORY", "INSUFFICIENT_RESOURCES"), T),
        (trino("EXCEEDED_TIME_LIMIT", "INSUFFICIENT_RESOURCES"), O),
        (trino("EXCEEDED_LOCAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES"), C),
        (trino("HIVE_METASTORE_ERROR", "EXTERNAL"), T),
        (driver("trino.exceptions.Http503Error"), T),
        (driver("trino.exceptions.TrinoAuthError"), C),
        # -------- others whose attributes are alike
        (driver("pyodbc.OperationalError", "40001"), T),
        (driver("pyodbc.OperationalError", "HYT00"), O),
        (driver("pyodbc.ProgrammingError", "42S02"), C),
        (aws("ThrottlingException", 400), T),
        (aws("SlowDown", 503), T),
        (aws("ExpiredToken", 400), T),
        (aws("NoSuchKey", 404), C),
        (aws("AccessDenied", 403), C),
        (driver("httpx.ReadTimeout", "…", "TransportError"), T),
        (driver("httpx.HTTPStatusError", "…", response=type("R", (), {"status_code": 502})()), T),
        (driver("somewhere.IntegrityError"), D),  # PEP 249's names
        (driver("somewhere.ProgrammingError"), C),
        (driver("somewhere.OperationalError"), U),
        # -------- Postgres: both psycopgs, where a server is not needed
        (psycopg.errors.SerializationFailure("…"), T),
        (psycopg.errors.UndefinedTable("…"), C),
        (psycopg.errors.NotNullViolation("…"), D),
        (psycopg2.OperationalError("server closed the connection unexpectedly"), T),
        (
            psycopg2.OperationalError(
                'connection to server at "db", port 5432 failed: FATAL:  password '
                'authentication failed for user "ann"'
            ),
            C,
        ),
        (psycopg2.OperationalError('FATAL:  database "shopp" does not exist'), C),
        (psycopg2.OperationalError("FATAL:  the database system is starting up"), T),
        (psycopg2.OperationalError("FATAL:  sorry, too many clients already"), T),
        # -------- Python's own
        (ConnectionRefusedError(111, "refused"), T),
        (socket.gaierror(-3, "Temporary failure in name resolution"), T),
        (TimeoutError("timed out"), T),
        (OSError(28, "No space left on device"), T),
        (OSError(113, "No route to host"), T),
        (PermissionError(13, "Permission denied"), C),
        (FileNotFoundError(2, "No such file or directory"), C),
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), T),
        (urllib.error.URLError(ssl.SSLCertVerificationError("expired")), C),
        (urllib.error.HTTPError("http://x", 503, "later", Message(), None), T),
        (urllib.error.HTTPError("http://x", 404, "no", Message(), None), C),
        (requests.ConnectionError("…"), T),
        (requests.exceptions.InvalidURL("…"), C),
        (ValueError("what?"), U),
        (MemoryError(), T),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}"[:60],
)
def test_a_driver_says_it_by_its_attributes(error: Exception, expected: FailureClass) -> None:
    assert found(raised(error)) is expected
    assert found(raised(error, named=False)) is expected
    assert found(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CompilationError("no such macro"), C),
        (ParsingError("what is this"), C),
        (ContractError([], []), D),
        (FailedToConnectError("no answer"), T),
        (FailedToConnectError('FATAL:  no pg_hba.conf entry for host "10.0.0.1"'), C),
        (FailedToConnectError('FATAL:  role "ann" does not exist'), C),
        (DbtRuntimeError("IO Error: Could not set lock on file"), T),
        (DbtRuntimeError('IO Error: No files found that match the pattern "x/*.csv"'), C),
        (DbtRuntimeError('IO Error: Cannot open file "x.csv": No such file or directory'), C),
        (DbtRuntimeError("HTTP Error 503: Service Unavailable"), T),
        (DbtRuntimeError("something odd"), U),  # no evidence: nobody guesses
        (RuntimeError(""), U),
        (TypeError("1 + 'one'"), C),
    ],
)
def test_what_dbt_raises_itself(error: Exception, expected: FailureClass) -> None:
    assert found(error) is expected


def test_words_alone_are_evidence_where_there_is_no_exception() -> None:
    assert classify([], "Compilation Error in model x") is C
    assert classify([], "exit status 1: connection refused") is T
    assert classify([], "") is U


def test_the_innermost_exception_that_says_something_decides() -> None:
    with pytest.raises(CompilationError) as third:
        try:
            try:
                duckdb.sql("select nothing")
            except duckdb.Error as first:
                raise RuntimeError("could not land orders") from first
        except RuntimeError as second:
            raise CompilationError("in macro load") from second

    links = chain(third.value)
    classes = [link["classes"][0] for link in links]
    assert [name.rpartition(".")[2] for name in classes] == [
        "CompilationError",
        "RuntimeError",
        "BinderException",
    ]
    assert "Binder Error" in links[2]["message"]
    assert found(third.value) is C


def test_an_exception_that_was_only_being_handled_is_no_cause() -> None:
    with pytest.raises(ConnectionResetError) as error:
        try:
            _ = {}["cache"]
        except KeyError:
            raise ConnectionResetError("by peer")

    assert found(error.value) is T


def test_it_is_asked_when_nothing_else_says_anything() -> None:
    # as dbt-duckdb wraps the error of a python model
    assert found(raised(TypeError("1 + 'one'"), named=False)) is C


def test_a_cause_that_was_hidden_stays_hidden() -> None:
    with pytest.raises(ValueError, match="bad row") as error:
        try:
            raise ConnectionResetError("by peer")
        except ConnectionResetError:
            raise ValueError("bad row") from None

    assert len(chain(error.value)) == 1


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert len(chain(first)) == 2


def test_sqlstate_comes_before_words() -> None:
    assert found(driver("x.Error", "deadlock", sqlstate="42601")) is C


class _Rude(Exception):
    """Attributes of every type but the expected one."""

    errno = pgcode = object()
    sqlstate = 40001
    code = True
    status_code = "503"
    context = errors = "…"
    response = headers = 7


def test_attributes_of_other_types_are_no_evidence() -> None:
    assert found(_Rude("…")) is U


@pytest.mark.parametrize("rule", [rule for section in TABLE for rule in section.rules])
def test_no_entry_of_the_table_is_hidden_by_another(rule: Rule) -> None:
    assert rule.meaning
    assert rule.source.startswith("https://")
    if not rule.message:  # the tables above have examples of those
        assert {classify([link], "") for link in _links(rule)} == {rule.failure_class}


def _links(rule: Rule) -> Iterator[Link]:
    """What a rule is about, one value at a time."""
    driver = [f"{package}.Error" for package in rule.exception]
    yield from ({"classes": driver, "codes": [code]} for code in rule.errno)
    yield from ({"sqlstate": state} for state in rule.sqlstate)
    yield from ({"exit_status": status} for status in rule.exit_status)
    yield from ({"http_status": int(text.replace("x", "6"))} for text in rule.http_status)
    if not rule.errno:
        yield from ({"classes": [name]} for name in rule.exception)


# ------------------------------------------------------------ rules of the user


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"sqlstate": ("42P01",)}, T),
        ({"sqlstate": ("42",)}, T),
        ({"sqlstate": ("42P02",)}, C),
        ({"exception": ("psycopg.errors.UndefinedTable",)}, T),
        ({"exception": ("UndefinedTable",)}, T),
        ({"exception": ("DatabaseError",)}, T),  # it inherits from that
        ({"exception": ("psycopg",)}, T),  # a package
        ({"exception": ("psy",)}, C),
        ({"message": "NO SUCH"}, T),
        ({"message": "^no"}, T),
        ({"message": "such$"}, C),
        ({"exception": ("UndefinedTable",), "message": "no such"}, T),
        ({"exception": ("UndefinedTable",), "message": "lock"}, C),  # all of it must hold
        ({"exception": ("Other", "UndefinedTable")}, T),  # one of these
    ],
)
def test_rules_of_the_user_come_first(rule: dict[str, Any], expected: FailureClass) -> None:
    error = raised(psycopg.errors.UndefinedTable("no such table"))
    assert found(error, (Rule(failure_class=T, **rule),)) is expected


def test_a_rule_may_be_about_numbers_and_statuses() -> None:
    locked = driver("pymysql.err.OperationalError", "…", errno=1205)
    assert found(locked, (Rule(failure_class=T, errno=("1205",)),)) is T
    conflict = urllib.error.HTTPError("http://x", 409, "busy", Message(), None)
    assert found(conflict) is C
    assert found(conflict, (Rule(failure_class=T, http_status=("4xx",)),)) is T
    three = [{"exit_status": 3}]
    assert classify(three, "") is U
    assert classify(three, "", (Rule(failure_class=D, exit_status=(3,)),)) is D


def test_a_package_is_called_what_one_imports() -> None:
    with pytest.raises(duckdb.Error) as error:
        duckdb.sql("select nothing")

    assert type(error.value).__module__ == "_duckdb"
    for name in ("duckdb", "duckdb.BinderException", "BinderException"):
        assert found(error.value, (Rule(failure_class=T, exception=(name,)),)) is T


def test_the_first_rule_that_fits_decides() -> None:
    rules = (Rule(failure_class=D, message="odd"), Rule(failure_class=T, message="something"))
    assert found(RuntimeError("something odd"), rules) is D


# ------------------------------------------------------------ Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60.0),
        ("Sat, 28 Feb 2026 00:00:00 GMT", 0.0),  # long ago
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_of_an_answer(header: str | None, seconds: float | None) -> None:
    headers = Message()
    if header:
        headers["Retry-After"] = header
    error = raised(urllib.error.HTTPError("http://x", 429, "slow", headers, None))
    assert asked_delay(chain(error), datetime(2026, 3, 1, tzinfo=UTC)) == seconds
