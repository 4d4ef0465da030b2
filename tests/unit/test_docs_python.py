"""The step type that docs/python.md writes is one, and its bench runs it."""

import re
import tomllib
import types
from pathlib import Path

import pytest

from dbtorch.adapters.config import step_keys
from dbtorch.adapters.steps.base import StepError
from dbtorch.core.config import StepSpec
from dbtorch.testing.steps import StepBench
from tests.pages import PAGES
from tests.unit.loopback import serving

SECTION = PAGES["docs/python.md"].read_text().partition("\n## Write a step type\n")[2]
SECTION = SECTION.partition("\n## ")[0]
(DECLARED,) = re.findall(r"```toml\n(.*?)```", SECTION, re.DOTALL)
ENTRY_POINTS = tomllib.loads(DECLARED)["project"]["entry-points"]["dbtorch.steps"]
MODULE, BENCH = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
#: What Fivetran answers, of a connection that has been synced after any time of a test.
SYNCED = {"data": {"succeeded_at": "9999-01-01T00:00:00Z"}}


def test_the_step_type_of_the_page_runs_on_its_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "acme-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    declared = "\n".join(f"{name} = {module}" for name, module in ENTRY_POINTS.items())
    (info / "entry_points.txt").write_text(f"[dbtorch.steps]\n{declared}\n")
    package = tmp_path / "site" / "acme_dbtorch"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("FIVETRAN_KEY", "key")
    monkeypatch.setenv("FIVETRAN_SECRET", "a secret of theirs")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    step_keys._installed.cache_clear()
    with serving() as server:
        server.says("/v1/connections/crm/sync", (200, {}, {"code": "Success"}))
        server.says("/v1/connections/crm", (200, {}, SYNCED))
        here = MODULE.replace("https://api.fivetran.com", server.url)
        (package / "fivetran.py").write_text(here.replace('"poll": {', '"poll": {"every": 0.01,'))
        exec(BENCH, {"StepBench": StepBench, "StepSpec": StepSpec, "tmp_path": tmp_path})
        methods = [(method, path) for method, path, _, _ in server.requests]
    step_keys._installed.cache_clear()
    assert methods == [("POST", "/v1/connections/crm/sync"), ("GET", "/v1/connections/crm")]


def test_it_refuses_what_the_page_says_it_refuses() -> None:
    module = types.ModuleType("fivetran")
    exec(MODULE, module.__dict__)
    module.check("crm")
    with pytest.raises(StepError, match="must be the name of a connection"):
        module.check({"connection": "crm"})
