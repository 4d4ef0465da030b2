"""What the selections come to that steps are wired by; a script stands in for dbt."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.project.selections import Selections, named
from dbtorch.adapters.processes.orphan_reaper import Guard

#: Says how it was called, and that it found a model and its test.
SCRIPT = """
import json, os, sys
with open(f"called.{os.getpid()}", "w") as file:
    file.write("\\n".join(sys.argv[1:]))
if "nobody" in sys.argv:
    sys.exit(0)
if "broken(" in sys.argv:
    print(json.dumps({"info": {"level": "error", "name": "MainEncounteredError", "msg": "no such method"}, "data": {}}))
    sys.exit(2)
for id in ["model.shop.a", "test.shop.b"]:
    said = json.dumps({"unique_id": id})
    print(json.dumps({"info": {"level": "info", "name": "ListCmdOut", "msg": said}, "data": {}}))
"""


def resource(id: str, *folders: str, **more: Any) -> tuple[str, dict[str, Any]]:
    kind, package, *_, name = id.split(".")
    fqn = [package, *folders, name]
    return id, {"unique_id": id, "resource_type": kind, "name": name, "fqn": fqn, **more}


MANIFEST = {
    "metadata": {"dbt_version": "2.0.0"},
    "nodes": dict(
        [
            resource("model.shop.orders", "marts"),
            resource("test.shop.not_null_orders", "orders"),  # in a folder of that name
            resource("model.shop.marts_of_all"),
            resource("seed.shop.countries"),
            resource("model.shop.versioned.v1", name="versioned", version=1),
            resource("model.shop.staging", "elsewhere"),
            resource("model.shop.stg_a", "staging"),  # in a folder that is named like a model
            resource("model.shop.twice"),
            resource("model.other.twice"),
            resource("analysis.shop.report"),
        ]
    ),
    "exposures": dict([resource("exposure.shop.countries_page"), resource("exposure.shop.report")]),
    "sources": {
        "source.shop.raw.orders": {"source_name": "raw", "name": "orders"},
        "source.shop.raw.twice": {"source_name": "raw", "name": "twice"},
        "source.other.raw.twice": {"source_name": "raw", "name": "twice"},
    },
    "unit_tests": dict([resource("unit_test.shop.orders", "orders")]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders", {"model.shop.orders"}),
        ("countries", {"seed.shop.countries"}),
        ("source:raw.orders", {"source.shop.raw.orders"}),
        # what may mean several things, or nothing, dbt is asked
        *((text, None) for text in ("staging", "twice", "report", "versioned", "shop", "marts")),
        *((text, None) for text in ("not_null_orders", "nowhere", "source:raw.twice")),
        # what is more than a name
        *((text, None) for text in ("orders+", "@orders", "orders,countries", "ord*", "tag:a")),
        *((text, None) for text in ("source:raw", "source:shop.raw.orders", "marts.orders", "")),
        ("orders.sql", None),
    ],
)
def test_what_can_mean_one_thing_only(text: str, expected: set[str] | None) -> None:
    assert named(text, MANIFEST) == expected


def test_a_manifest_that_leaves_out_what_is_empty() -> None:
    assert named("orders", {"nodes": None}) is None
    assert named("source:raw.orders", {}) is None


@pytest.fixture
def executable(tmp_path: Path) -> Iterator[Executable]:
    (tmp_path / "dbt.py").write_text(SCRIPT)
    guard = Guard(grace=1.0, ask=signal.SIGINT)
    entry = Launcher(executable="dbt", command=(sys.executable, str(tmp_path / "dbt.py")))
    yield Executable(entry, tmp_path, os.environ, guard)
    guard.close()


def called(folder: Path) -> list[list[str]]:
    return [path.read_text().split("\n") for path in folder.glob("called.*")]


def test_each_dbt_that_is_asked_writes_by_itself(tmp_path: Path, executable: Executable) -> None:
    texts = ("orders", "tag:a", "tag:b", "selector:nightly", "nobody")
    words = DbtArgs.of(("--target", "dev", "--target-path", "target", "--select", "orders"))
    selections = Selections(executable, words, tmp_path / "asked", MANIFEST)
    resolved, unreadable = selections.resolve(texts)
    assert resolved == {
        "orders": {"model.shop.orders"},
        **{text: {"model.shop.a"} for text in ("tag:a", "tag:b", "selector:nightly")},
        "nobody": set(),
    }
    assert unreadable == {}
    calls = called(tmp_path)
    assert sorted(words[words.index("--select") + 1] for words in calls if "--select" in words) == [
        "nobody",
        "tag:a",
        "tag:b",
    ]
    places = {words[words.index("--target-path") + 1] for words in calls}
    assert len(places) == len(calls) == 4
    assert all(Path(place).is_relative_to(tmp_path / "asked") for place in places)


def test_dbt_1_keeps_what_it_has_parsed_and_writes_nothing(
    tmp_path: Path, executable: Executable
) -> None:
    old = {**MANIFEST, "metadata": {"dbt_version": "1.11.2"}}
    selections = Selections(executable, DbtArgs.of(()), tmp_path / "asked", old)
    assert selections.resolve(("tag:a", "broken(")) == (
        {"tag:a": {"model.shop.a"}},
        {"broken(": "no such method"},
    )
    assert all(
        "--no-write-json" in words and "--target-path" not in words for words in called(tmp_path)
    )
    assert len(called(tmp_path)) == 2
