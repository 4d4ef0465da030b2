"""Words for dbt, taken apart; the target they name; and what chooses nodes."""

import json
import uuid

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.artifacts import Artifacts, choose
from dbtorch.adapters.dbt.process.dbt_cli.invocation import Invocation
from dbtorch.adapters.dbt.process.project.target import read_target, read_vars
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Changed
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.testing import FixedClock

GIVEN = (
    *("--project-dir", "/shop", "--select", "tag:a", "--select", "b+", "--exclude", "c"),
    *("--resource-type", "model", "--indirect-selection", "cautious", "--vars", "{x: 1}"),
    *("--state", "old", "--defer", "--full-refresh", "--fail-fast", "--threads", "8"),
)


def test_a_batch_is_chosen_by_ids_and_keeps_everything_else():
    words = DbtArgs.of(GIVEN)
    assert words.batch("/chosen") == (
        *("--project-dir", "/shop", "--vars", "{x: 1}", "--defer"),
        *("--full-refresh", "--fail-fast", "--threads", "8"),
        *("--select", "result:error", "--state", "/chosen", "--indirect-selection", "empty"),
        *("--defer-state", "old"),
    )
    assert "--full-refresh" not in words.batch("/chosen", command="test")
    assert "--fail-fast" in words.batch("/chosen", command="test")
    assert words.common() == ("--project-dir", "/shop", "--vars", "{x: 1}", "--defer")
    assert words.with_values({"--project-dir": "/shadow"}).common() == (
        *("--vars", "{x: 1}", "--defer", "--project-dir", "/shadow"),
    )


def test_what_was_asked_for_is_listed():
    assert DbtArgs.of(GIVEN).listing() == (
        *("--project-dir", "/shop", "--select", "tag:a", "--select", "b+", "--exclude", "c"),
        *("--resource-type", "model", "--indirect-selection", "cautious", "--vars", "{x: 1}"),
        *("--state", "old", "--defer"),
    )


PROFILES = """
shop:
  target: "{{ env_var('TARGET', 'dev') }}"
  outputs:
    dev: {type: duckdb, path: shop.duckdb, threads: "{{ env_var('N') | int }}"}
    ci: {type: postgres, dbname: shop, schema: ci, password: "{{ env_var('SECRET') }}"}
    memory: {type: duckdb, path: ":memory:"}
    cloud: {type: duckdb, path: "md:shop"}
"""
PROJECT = {"name": "shop", "profile": "shop", "vars": {"a": 1, "shop": {"a": 2}, "b": 3}}


@pytest.fixture
def target(tmp_path):
    (tmp_path / "profiles.yml").write_text(PROFILES)

    def read(*words, env=None):
        found = DbtArgs.of(words)
        return read_target(found, PROJECT, cwd=tmp_path, base=tmp_path, env=env or {"N": "6"})

    return read


def test_the_target_is_the_one_dbt_takes(target, tmp_path):
    dev = target()
    assert (dev.name, dev.threads) == ("dev", 6)
    assert dev.exclusive_file == str(tmp_path / "shop.duckdb")
    assert target("--target", "ci").told() == {
        "name": "ci",
        "type": "postgres",
        "database": "shop",
        "schema": "ci",
        "path": None,
    }
    assert target(env={"TARGET": "ci"}).name == "ci"
    assert target("--target", "memory").exclusive_file is None
    assert target("--target", "memory").database == "memory"
    assert dev.database == "shop"
    assert target("--target", "memory").threads == 1
    assert (dev.alone, target("--target", "memory").alone) == (True, True)
    assert not target("--target", "ci").alone
    assert not target("--target", "cloud").alone
    assert target("--threads", "3").threads == 3


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (
            ("--target", "prod"),
            {},
            "profile shop has no target prod; it has dev, ci, memory, cloud",
        ),
        (("--profile", "other"), {}, "has no profile other with outputs"),
        (("--threads", "many"), {}, "threads is 'many'; give it a number"),
        (("--vars", "{x: "), {}, "--vars cannot be read as YAML"),
        (("--profiles-dir", "nowhere"), {}, "nowhere/profiles.yml cannot be read"),
    ],
)
def test_what_is_wrong_with_a_target_is_one_sentence(target, words, env, said):
    with pytest.raises(EngineError) as refused:
        target(*words, env=env)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_variables_of_the_project_and_of_the_command():
    assert read_vars(DbtArgs.of(("--vars", "{b: 4}")), PROJECT)["a"] == 2
    assert read_vars(DbtArgs.of(("--vars", "{b: 4}")), PROJECT)["b"] == 4


def test_nodes_are_chosen_as_results_that_failed(tmp_path):
    folder = choose(tmp_path / "chosen", ["model.shop.a", "test.shop.b"])
    written = json.loads((folder / "run_results.json").read_text())
    assert [(one["unique_id"], one["status"]) for one in written["results"]] == [
        ("model.shop.a", "error"),
        ("test.shop.b", "error"),
    ]
    # what dbt 2 ignores the file without
    assert written["args"] == {"command": "build", "which": "build"}
    uuid.UUID(written["metadata"]["invocation_id"])


def test_artifacts_hold_the_last_result_of_every_node(tmp_path):
    found = Artifacts(Invocation((), {}))
    found.dbt_version = "2.0.9"
    found.adopt({"model.shop.a": {"status": "error"}, "source.shop.raw.x": {"source": {"s": 1}}})
    found.ended("model.shop.a", {"status": "success", "message": None, "unheard": "of"})
    found.ended("model.shop.b", {"status": "success", "execution_time": 2.0})
    found.dbt_wrote(
        {
            "model.shop.a": {"status": "success", "compiled": True},
            "model.shop.b": {"status": "error", "compiled": True},
        }
    )
    left_out = Changed(
        node_id="model.shop.c",
        attempt=0,
        before=State.PENDING,
        state=State.UPSTREAM_FAILED,
        at=FixedClock().now(),
        reason=Reason(ReasonKind.UPSTREAM_FAILED, ("model.shop.z",)),
    )
    found.skipped(left_out)
    found.ended("model.shop.c", {"status": "error"})  # it was called off, and says so later
    found.ended("step.load", {"status": "success"})
    found.write(tmp_path)
    written = json.loads((tmp_path / "run_results.json").read_text())
    assert written["metadata"]["dbt_version"] == "2.0.9"
    told = {one["unique_id"]: one for one in written["results"]}
    assert {id: one["status"] for id, one in told.items()} == {
        "model.shop.a": "success",
        "model.shop.b": "success",
        "model.shop.c": "skipped",
    }
    assert told["model.shop.a"]["compiled"] is True
    assert told["model.shop.b"]["compiled"] is None  # that was another attempt
    assert told["model.shop.c"]["message"] == "model.shop.z failed"
    assert json.loads((tmp_path / "sources.json").read_text())["results"] == [{"s": 1}]


def test_artifacts_say_how_one_would_have_called_dbt():
    asked = ("--select", "a", "--select", "b", "--full-refresh")
    called = Invocation(asked, {"DBT_LOG_FORMAT": "json"}, flags={"use_colors": False})
    one_test = {"which": "test", "select": ["result:error"]}
    batch = {
        "which": "build",
        "select": ["result:error"],
        "exclude": [],
        "state": "/chosen",
        "indirect_selection": "empty",
        "log_level": "none",
        "log_format": "text",
        "use_colors": False,
        "full_refresh": True,
        "invocation_command": "dbt build --select …",
    }
    called.saw({"invocation_id": "1"}, one_test)
    called.saw({"invocation_id": "2"}, batch)
    called.saw({"invocation_id": "3"}, batch)
    assert called.metadata == {"invocation_id": "2"}
    assert called.told() == {
        "which": "build",
        "select": ["a", "b"],
        "exclude": [],
        "indirect_selection": "eager",
        "log_level": "info",
        "log_format": "json",
        "use_colors": False,
        "full_refresh": True,
        "invocation_command": "dbt build --select a b --full-refresh",
    }
