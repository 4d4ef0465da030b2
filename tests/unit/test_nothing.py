"""SQL in which there is nothing to execute."""

import pytest

from dbtorch.adapters.dbt.dbtorch_worker.empty_sql import (
    RENDERED_TO_NOTHING,
    NothingToExecute,
    is_nothing,
)
from dbtorch.adapters.dbt.dbtorch_worker.results import failure
from dbtorch.core.failures.classify import classify
from dbtorch.core.model.state import FailureClass


@pytest.mark.parametrize(
    "sql",
    ["", " \n\t", "-- nothing today", "/* a\n -- b */ ;\n", ";;", "-- a\n-- b\n/**/", "-- " * 9000],
)
def test_blank_text_and_comments_are_nothing(sql):
    assert is_nothing(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "-- a\nselect 1",
        "/* a */ select 1 -- b",
        "call p()",
        "select '--'",
        "/*!40000 x */",
        "/* never closed",
        "-- " * 9000 + "\nx",
    ],
)
def test_a_statement_is_something(sql):
    assert not is_nothing(sql)


def test_it_is_no_use_to_try_again():
    said = failure(NothingToExecute(RENDERED_TO_NOTHING))

    assert said["message"] == RENDERED_TO_NOTHING
    assert classify(said["errors"], said["message"]) is FailureClass.CODE
