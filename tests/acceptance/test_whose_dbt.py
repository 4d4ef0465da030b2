"""dbtorch in an environment without dbt: it brings none, and runs the project's own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

#: What pip reads of dbtorch.
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PROJECT = {
    "dbt_project.yml": "name: shop\nprofile: shop\nflags: {send_anonymous_usage_stats: false}\n",
    "profiles.yml": """
shop:
  target: dev
  outputs: {dev: {type: duckdb, path: warehouse.duckdb}}
""",
    "models/one.sql": "select 1 as id",
    "load.py": "import sys, pathlib\n\ndef load():\n    pathlib.Path('prefix').write_text(sys.prefix)\n",
    "dbtorch.yml": "version: 1\nsteps: {load: {python: 'load:load'}}\n",
}


def needed(requirements: list[str]) -> set[str]:
    """The distributions that requirements come to here."""
    found: set[str] = set()
    wanted = list(requirements)
    while wanted:
        need = Requirement(wanted.pop())
        if need.name not in found and (need.marker is None or need.marker.evaluate({"extra": ""})):
            found.add(need.name)
            wanted += importlib.metadata.requires(need.name) or []
    return found


def test_the_package_itself_depends_on_no_dbt() -> None:
    assert not [name for name in needed(METADATA["dependencies"]) if name.startswith("dbt")]
    extras = METADATA["optional-dependencies"]
    assert extras["duckdb"] == ["dbt-core>=1.10,<1.12", "dbt-duckdb>=1.10,<1.12"]
    brought = [Requirement(need).name for need in extras["postgres"]]
    assert brought == ["dbt-core", "dbt-postgres", "psycopg"]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees dbtorch and what it declares, and nothing else: no dbt, no pip."""
    folder = tmp_path_factory.mktemp("tool") / "env"
    packages = made(folder)
    for name in needed(METADATA["dependencies"]):
        distribution = importlib.metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in distribution.files or ()}
        for top in tops - {"..", "__pycache__"}:
            source = Path(str(distribution.locate_file(top)))
            if not (packages / top).exists():
                (packages / top).symlink_to(source)
    (packages / "dbtorch").symlink_to(ROOT / "dbtorch")
    return folder


def made(folder: Path) -> Path:
    """Make a virtual environment; answers its folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    return packages


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def dbtorch(tool: Path, shop: Path, *words: str, code: int = 0, **more: str) -> str:
    foreign = ("DBT_", "DBTORCH_", "VIRTUAL_ENV", "PYTHON", "PATH")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environ |= {"PATH": "/usr/bin:/bin", "HOME": str(shop.parent), **more}
    done = subprocess.run(
        [str(tool / "bin" / "python"), "-m", "dbtorch", *words],
        cwd=shop,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_needs_no_dbt_works_without_one(tool: Path, shop: Path) -> None:
    (shop / "dbtorch.yml").unlink()
    assert "Usage: dbtorch" in dbtorch(tool, shop, "--help")
    dbtorch(tool, shop, "init")
    assert (shop / "dbtorch.yml").is_file()
    assert "there is no run history yet" in dbtorch(tool, shop, "runs", code=2)


def test_without_any_dbt_a_run_says_what_to_type(tool: Path, shop: Path) -> None:
    command = f"uv pip install --python {tool}/bin/python dbt-core dbt-duckdb"
    said = dbtorch(tool, shop, "run", code=2)
    assert said.startswith(f"Error: no dbt was found: {tool} (dbtorch's own) has no dbt; install")
    assert said.count("\n") == 1
    assert command in said
    said = dbtorch(tool, shop, "doctor", code=2)
    assert f"FAIL  dbt          no dbt was found: {tool} (dbtorch's own) has no dbt" in said
    assert command in said


def test_the_dbt_of_a_neighbouring_environment_runs_the_project(tool: Path, shop: Path) -> None:
    own = Path(sys.prefix)
    packages = made(shop / ".venv")
    real = next((own / "lib").glob("python3*/site-packages"))
    (packages / "team.pth").write_text(f"{real}\n")
    command = shop / ".venv" / "bin" / "dbt"
    script = (own / "bin" / "dbt").read_text().split("\n", 1)[1]
    command.write_text(f"#!{shop}/.venv/bin/python\n{script}")
    command.chmod(0o755)
    empty = made(shop.parent / "active").parents[2]

    said = dbtorch(tool, shop, "run", VIRTUAL_ENV=str(empty))
    (start,) = [line for line in said.splitlines() if "START" in line]
    assert re.search(r", dbt 1\.\d+\.\d+ of \.venv \(beside the project\), ", start)
    shown: dict[str, Any] = json.loads(dbtorch(tool, shop, "show", "latest", "--format", "json"))
    assert shown["state"] == "success"
    assert (shop / "prefix").read_text() == str(shop / ".venv")  # steps run there, too

    said = dbtorch(tool, shop, "doctor", VIRTUAL_ENV=str(empty))
    assert (
        f"ok    environment  .venv (beside the project); {empty} (VIRTUAL_ENV) has no dbt" in said
    )
