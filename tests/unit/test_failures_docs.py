"""docs/failures.md says what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.core.config import Config
from dbtorch.core.model.policy import OnFailure, Retry
from dbtorch.core.model.state import FailureClass

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"


@pytest.fixture
def generator():
    spec = importlib.util.spec_from_file_location(
        "failures_docs", ROOT / ".ci" / "failures_docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_of_the_code(generator):
    page = PAGE.read_text(encoding="utf-8")
    assert generator.updated(page) == page, "run .ci/failures_docs.py"


def test_a_page_without_a_place_for_the_table_is_noticed(generator):
    with pytest.raises(ValueError, match="0 places"):
        generator.updated(PAGE.read_text(encoding="utf-8").replace("<!-- table -->", ""))


def test_the_classes_of_the_page_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    times = {"fails at once": 0, "": 0, "tried again once": 1, "tried again twice": 2}
    by_default = {kind.value: Retry().retries.get(kind, 0) for kind in FailureClass}
    assert {name: times[text.strip()] for name, text in rows} == by_default


def test_examples_of_the_page_work(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    retries, meta, breaker, rules = blocks
    (tmp_path / "dbtorch.yml").write_text(retries + breaker + rules)
    config = load(tmp_path)
    assert config.circuit_breaker == Config().circuit_breaker
    assert len(config.failure_classes) == 4
    ingest = config.steps["ingest_orders"].settings
    found = ingest.over(config.pipelines["hourly"].settings).over(config.defaults).retry()
    kinds = (FailureClass.TRANSIENT, FailureClass.TIMEOUT)
    assert ([found.retries[kind] for kind in kinds], found.budget) == ([5, 3], 1200.0)
    said = yaml.safe_load(meta)["models"][0]["config"]["meta"]
    settings = settings_of(said, node="m", file="", project_dir=tmp_path)
    assert settings.on_failure is OnFailure.CONTINUE
