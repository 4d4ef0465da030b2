"""docs/configuration.md says what the code does."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from dbtorch.adapters.config.document import parse
from dbtorch.adapters.config.field_types import Later
from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.adapters.config.problems import Report, dotted
from dbtorch.adapters.config.sections import SECTIONS
from dbtorch.adapters.config.setting_keys import META, RETRY
from dbtorch.core.alerts.routing import AlertRule, AlertsSpec, OwnerRoute
from dbtorch.core.checks.relation_checks import NullRate
from dbtorch.core.config import Config, EngineSpec, PipelineSpec, StepSpec
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.freshness import GateSettings
from dbtorch.core.model.policy import Breaker, Retry
from dbtorch.core.model.state import FailureClass
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.settings import Settings

ROOT_DIR = Path(__file__).parents[2]
PAGE = ROOT_DIR / "docs" / "configuration.md"


@pytest.fixture
def generator():
    spec = importlib.util.spec_from_file_location(
        "configuration_docs", ROOT_DIR / ".ci" / "configuration_docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_code(generator):
    page = PAGE.read_text(encoding="utf-8")
    assert generator.updated(page) == page, "run .ci/configuration_docs.py"


def test_a_table_that_is_missing_is_noticed(generator):
    page = PAGE.read_text(encoding="utf-8").replace("<!-- keys of retry -->", "")
    with pytest.raises(ValueError, match="retry"):
        generator.updated(page)


def test_examples_of_the_page_work(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    _, whole, rules, meta = blocks
    (tmp_path / "dbtorch.yml").write_text(whole)
    assert set(load(tmp_path).steps) == {"ingest_orders", "refresh_dashboard"}
    (tmp_path / "dbtorch.yml").write_text(f"version: 1\n{rules}")
    assert len(load(tmp_path).failure_classes) == 2
    said = yaml.safe_load(meta)["models"][0]["config"]["meta"]
    assert settings_of(said, node="m", file="", project_dir=tmp_path).retries == 3


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_examples_of_every_key_are_accepted(section):
    report = Report(name=dotted)
    for key in section.keys:
        if key.example:
            written = parse(f"it: {key.example}", "").data["it"]
            assert key.kind.read(written, (key.name,), report) is not None
    assert report.problems == []


def test_what_is_imported_later_is_called_as_it_is():
    kinds = [key.kind for section in (*SECTIONS, META) for key in section.keys]
    later = [kind for kind in kinds if isinstance(kind, Later)]
    assert len(later) == 10
    assert [kind.name for kind in later] == [kind.find().name for kind in later]


def test_every_field_is_filled_by_the_key_that_it_names():
    keys = {key.fills for section in SECTIONS for key in section.keys}
    values = (AlertRule, AlertsSpec, Breaker, Config, EngineSpec, GateSettings, NullRate)
    values += (OwnerRoute, PipelineSpec, Rule, Schedule, Settings, StepSpec)
    for value in values:
        assert {of.name for of in fields(value) if of.metadata} <= keys, value.__name__
    nobody_writes = {"name", "origin", "checksum", "wait", "type", "action", "settings"}
    assert {of.name for of in fields(StepSpec) if not of.metadata} == nobody_writes
    assert {of.name for of in fields(Config) if not of.metadata} == {"origin"}
    assert {of.name for of in fields(Settings) if not of.metadata} == {"gate"}  # of keys of its own


def test_defaults_of_retries_are_those_of_the_policy():
    policy = Retry()
    assert policy.retries == {
        FailureClass.TRANSIENT: 2,
        FailureClass.TIMEOUT: 1,
        FailureClass.UNKNOWN: 1,
    }
    said = {key.name: key.default for key in RETRY.keys}
    assert said["retries"] == "2; 1 for timeouts and unknown failures"
    written = {key: said[key] for key in ("delay", "max_delay")}
    read = RETRY.read(written, (), Report(name=dotted))
    assert read == {"retry_delay": policy.delay, "retry_max_delay": policy.max_delay}
