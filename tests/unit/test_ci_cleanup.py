"""Which schemas are of pull requests."""

import re

import pytest

from dbtorch.service.ci.cleanup import Cleanup

# a template, the target's schema, a name, and whether it is one of a pull request
NAMES = [
    ("{schema}_pr_{pr}", "ci", "ci_pr_12", True),
    ("{schema}_pr_{pr}", "ci", "CI_PR_12", True),  # some warehouses have capitals
    ("{schema}_pr_{pr}", "ci", "ci_pr_12_marts", True),  # a model's own schema
    ("{schema}_pr_{pr}", "ci", "ci", False),
    ("{schema}_pr_{pr}", "ci", "ci_pr_", False),
    ("{schema}_pr_{pr}", "ci", "my_ci_pr_12", False),
    ("{schema}_pr_{pr}", "a.b", "axb_pr_12", False),
    ("pr{pr}_{schema}", "ci", "pr12_ci", True),
    ("pr{pr}_{schema}", "ci", "pr12_prod", False),
]


@pytest.mark.parametrize(("template", "schema", "name", "is_one"), NAMES)
def test_a_name_is_one_of_a_pull_request(template, schema, name, is_one):
    pattern = Cleanup(schema=template).pattern(schema)
    assert bool(re.fullmatch(pattern, name, re.IGNORECASE)) is is_one
