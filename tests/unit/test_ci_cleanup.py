"""Which schemas are of pull requests."""

import json
import re

import pytest

from dbtorch.cli.text.ci import cleanup_text
from dbtorch.core.ci.schemas import Fate
from dbtorch.core.errors import EngineError
from dbtorch.ports.engine import Selected
from dbtorch.service.ci.cleanup import Cleanup
from dbtorch.testing import MemoryEngine

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


class Stubborn(MemoryEngine):
    """An engine whose warehouse drops one of two schemas."""

    def marked_schemas(self, databases, pattern, table):
        said = {"pr": "12", "project": "shop", "built_at": "2026-11-30T12:00:00+00:00"}
        return [("db", name, said) for name in ("ci_pr_12_a", "ci_pr_12_b")]

    def drop_marked(self, database, schema, table, marker):
        if schema == "ci_pr_12_a":
            raise EngineError("permission denied for schema ci_pr_12_a")
        return True


def test_a_schema_that_cannot_be_dropped_keeps_no_other(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"nodes": {}}))
    selected = a_selection(tmp_path)
    engine = Stubborn(lambda _: None, selected)
    found = [*Cleanup(prs=("12",), yes=True).schemas(engine, selected, "shop")]
    assert [(one.name, one.fate) for one in found] == [
        ("ci_pr_12_a", Fate.FAILED),
        ("ci_pr_12_b", Fate.DROPPED),
    ]
    assert "permission denied" in cleanup_text(found)


def a_selection(target_path):
    return Selected(
        nodes=(),
        edges=(),
        selected=frozenset(),
        selected_edges=(),
        selected_sources=frozenset(),
        resolved={},
        hooks=(),
        threads=1,
        fail_fast=False,
        target={"name": "ci", "type": "duckdb", "database": "db", "schema": "ci"},
        exclusive_file=None,
        vars={},
        dbt_version="1.11.0",
        adapter="duckdb 1.11.0",
        project="shop",
        project_dir=target_path,
        target_path=target_path,
        manifest_hash="",
    )
