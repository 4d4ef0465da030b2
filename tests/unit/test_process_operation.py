"""What is handed to dbt's macros, and what is made of their answers."""

import json

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.adapters.dbt.process.operations.operation import arguments, bare, literal
from dbtorch.adapters.dbt.process.operations.sql_step import answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=5,
)


@given(value=JSON)
def test_a_value_gets_through_jinja_as_it_is(value):
    written = literal(value)
    assert not set(written) & set("{}%#")
    taken = []
    template = jinja2.Template("{% do take(" + written + ") %}", extensions=["jinja2.ext.do"])
    template.render(take=taken.append, fromjson=json.loads)
    assert taken == [value]


@given(value=JSON)
def test_a_value_gets_through_yaml_as_it_is(value):
    asked = yaml.safe_load(arguments(value))["asked"]
    assert json.loads(asked) == value


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        # dbt 2: a template, a query
        (
            "[error] [JinjaError (dbt1501)]: Failed to run operation invalid operation: Required var"
            " 'x' not found in config\n(in :2:17)\n(in :1:8)\n  --> :1:8",
            "Compilation Error\n  Required var 'x' not found in config",
        ),
        (
            "[error] [DbDriverFailed (dbt1308)]: Binder Error: no x\n\nLINE 2: select x\n(in :4:12)"
            "\n  --> :4:12",
            "Binder Error: no x\n\nLINE 2: select x",
        ),
        # dbt 1
        (
            "Encountered an error while running operation: Compilation Error in macro dbtorch_sql"
            " (dbtorch_hooks/operations.sql)\n  'no' is undefined\n  \n  > in macro dbtorch_sql"
            " (dbtorch_hooks/operations.sql)\n  > called by macro dbtorch_sql"
            " (dbtorch_hooks/operations.sql). This can happen",
            "Compilation Error\n  'no' is undefined. This can happen",
        ),
        (
            "Encountered an error while running operation: Runtime Error\n  Catalog Error: no",
            "Catalog Error: no",
        ),
        ("Database Error\n  no", "Database Error\n  no"),
    ],
)
def test_what_went_wrong_is_said_without_what_dbt_puts_around_it(said, wrong):
    assert bare(said) == wrong


@pytest.mark.parametrize(
    ("done", "message", "rows"),
    [
        ({"message": "INSERT 0 3", "code": "INSERT", "rows": "3"}, "INSERT 0 3", 3),
        ({"message": "DELETE 0", "code": "DELETE", "rows": "0"}, "DELETE 0", 0),
        ({"message": "OK", "code": "None", "rows": "None"}, "OK", None),
        # dbt 2 says so of everything on DuckDB
        ({"message": "{'message': …", "code": "SUCCESS", "rows": "0"}, "SUCCESS", None),
        ({"message": "{'message': …", "code": "SUCCESS", "rows": "7"}, "SUCCESS 7", 7),
    ],
)
def test_what_the_warehouse_answered(done, message, rows):
    found = answer(done)
    assert (found["message"], found["adapter_response"].get("rows_affected")) == (message, rows)
