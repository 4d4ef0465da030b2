"""docs/configuration.md says what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from dbtorch.adapters.config import freshness_keys, load, settings_of
from dbtorch.adapters.config.document import parse
from dbtorch.adapters.config.failure_keys import BREAKER, CLASSES, RULE
from dbtorch.adapters.config.http_keys import HTTP, POLL
from dbtorch.adapters.config.keys import (
    ENGINE,
    PIPELINE,
    ROOT,
    SCHEDULE,
)
from dbtorch.adapters.config.kinds import Later
from dbtorch.adapters.config.problems import Report, dotted
from dbtorch.adapters.config.sections import SECTIONS
from dbtorch.adapters.config.setting_keys import DEFAULTS, LONG_NAMES, META, RETRY, RETRY_ON
from dbtorch.adapters.config.specs import settings
from dbtorch.adapters.config.step_keys import STEP, TYPES
from dbtorch.adapters.steps import http_step
from dbtorch.core.config import Config, EngineSpec, PipelineSpec, Schedule, Settings, StepSpec
from dbtorch.core.evidence import Rule
from dbtorch.core.freshness import FreshnessSpec
from dbtorch.core.policy import Breaker, Retry
from dbtorch.core.state import FailureClass

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
    whole, rules, meta = blocks
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
    assert len(later) == 3
    assert [kind.name for kind in later] == [kind.find().name for kind in later]


def test_every_value_has_a_key_and_every_key_a_value():
    def names(section):
        return {key.name for key in section.keys}

    nobody_writes = {"name", "origin", "checksum"}

    def fields(value):
        return set(value.__dataclass_fields__) - {*nobody_writes, "settings", "type", "action"}

    types = {key.name for key in TYPES}
    assert names(ROOT) - {"version"} == fields(Config)
    assert names(ENGINE) == fields(EngineSpec) | {"type"}
    only_in_retry = {"retry_on", "retry_budget", "retry_jitter"}
    freshness = {"gate", "require"}
    of_one = {"deadline", "checks"}  # not of all
    assert names(DEFAULTS) == fields(Settings) - only_in_retry - freshness - of_one | {"retry"}
    assert names(META) == names(DEFAULTS) | names(freshness_keys.META) | of_one
    assert names(freshness_keys.FRESHNESS) | {"require"} == fields(FreshnessSpec) - {"everywhere"}
    assert {LONG_NAMES[name] for name in names(RETRY)} < fields(Settings)
    assert names(RETRY_ON) == set(CLASSES)
    assert names(RULE) - {"class"} == fields(Rule) - {"failure_class", "meaning", "source"}
    assert names(BREAKER) == fields(Breaker)
    assert names(STEP) == fields(StepSpec) | names(DEFAULTS) | types | {"deadline"}
    assert names(PIPELINE) == fields(PipelineSpec) | {"retry"}
    assert names(SCHEDULE) == fields(Schedule)
    assert names(HTTP) == {*http_step._REQUEST, "poll"}
    assert names(POLL) == http_step._POLL


def test_defaults_of_retries_are_those_of_the_policy():
    policy = Retry()
    assert policy.retries == {
        FailureClass.TRANSIENT: 2,
        FailureClass.TIMEOUT: 1,
        FailureClass.UNKNOWN: 1,
    }
    said = {key.name: key.default for key in RETRY.keys}
    assert said["retries"] == "2; 1 for time-outs and unknown failures"
    report = Report(name=dotted)
    written = {key: said[key] for key in ("delay", "max_delay")}
    read = settings({"retry": RETRY.read(written, (), report)})
    assert (read.retry_delay, read.retry_max_delay) == (policy.delay, policy.max_delay)
