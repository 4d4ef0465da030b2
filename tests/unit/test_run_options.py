"""What the command line says about a run."""

import pytest

from dbtorch.service.project.options import RunOptions


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("--resource-type", "model"), {}),
        (("--empty",), {}),
        (("--sample", "3 days"), {}),
        (("--event-time-start", "2020-01-01", "--event-time-end", "2020-01-02"), {}),
        (("--event-time-end", "2020-01-02"), {}),
        ((), {"DBT_EMPTY": "1"}),
        ((), {"DBT_EVENT_TIME_START": "2020-01-01"}),
        ((), {"DBT_ENGINE_EVENT_TIME_END": "2020-01-02"}),
        ((), {"DBT_ENGINE_SAMPLE": "3 days"}),
    ],
)
def test_a_part_of_the_data_is_a_part_of_the_pipeline(words, environ):
    assert RunOptions(dbt_args=words, environ=environ).partial


@pytest.mark.parametrize("environ", [{}, {"DBT_EMPTY": "false", "DBT_SAMPLE": ""}])
def test_other_options_leave_nothing_out(environ):
    assert not RunOptions(dbt_args=("--full-refresh", "--threads", "4"), environ=environ).partial
