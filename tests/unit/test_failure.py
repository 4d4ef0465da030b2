"""Which failures are worth a second try."""

import pytest

from dbtorch.core.failure import classify
from dbtorch.core.state import FailureClass

T, D, C, U = (
    FailureClass.TRANSIENT,
    FailureClass.DATA,
    FailureClass.CODE,
    FailureClass.UNKNOWN,
)


def link(name="Exception", sqlstate=None, message=""):
    return {"classes": [name], "sqlstate": sqlstate, "message": message}


_REFUSED = [link("dbt.adapters.exceptions.connection.FailedToConnectError")]


@pytest.mark.parametrize(
    ("evidence", "message", "expected"),
    [
        ([link(sqlstate="40001")], "", T),  # serialization failure
        ([link(sqlstate="40P01")], "", T),  # deadlock
        ([link(sqlstate="08006")], "", T),  # connection lost
        ([link(sqlstate="53300")], "", T),  # too many connections
        ([link(sqlstate="57014")], "", FailureClass.TIMEOUT),  # statement timeout
        ([link(sqlstate="42P01")], "", C),  # no such table
        ([link(sqlstate="42703")], "", C),  # no such column
        ([link(sqlstate="42501")], "", C),  # permission denied
        ([link(sqlstate="23502")], "", D),  # not null violated
        ([link(), link(sqlstate="40001")], "", T),  # dbt's own error hides the driver's
        ([link("_duckdb.CatalogException")], "", C),
        ([link("duckdb.duckdb.ConstraintException")], "", D),
        ([link("dbt.adapters.exceptions.connection.FailedToConnectError")], "", T),
        (
            [link("dbt_common.exceptions.base.DbtRuntimeError"), link("builtins.ConnectionError")],
            "",
            T,
        ),
        ([link("_duckdb.IOException")], "IO Error: Could not set lock on file", T),
        # what psycopg2 says without a SQLSTATE: connecting failed, and will fail again
        (_REFUSED, 'FATAL:  password authentication failed for user "ann"', C),
        (_REFUSED, 'FATAL:  database "shopp" does not exist', C),
        (_REFUSED, 'FATAL:  no pg_hba.conf entry for host "10.0.0.1"', C),
        (_REFUSED, "connection to server at 127.0.0.1 failed: Connection refused", T),
        (_REFUSED, "FATAL:  the database system is starting up", T),
        ([link("builtins.RuntimeError", message="HTTP 503")], "", T),  # the message of a cause
        ([], "Compilation Error in model x", C),
        ([], "could not be scheduled at this time", T),  # databricks
        ([], "something odd", U),  # no evidence: nobody guesses
        ([], "", U),
    ],
)
def test_evidence_decides(evidence, message, expected):
    assert classify(evidence, message) is expected


def test_sqlstate_comes_before_words():
    assert classify([link(sqlstate="42601", message="deadlock")], "deadlock") is C
