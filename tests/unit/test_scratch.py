"""Profiles that lead elsewhere, and copies that nobody writes meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from dbtorch.adapters.dbt.scratch import ScratchError, copy_of_file, redirected

PROFILES = """
shop:
  target: "{{ env_var('T', 'dev') }}"
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('SHOP') }}"
      attach:
        - other.duckdb
        - {path: third.duckdb, alias: third}
    prod: {type: postgres, schema: shop, password: "{{ env_var('DBT_ENV_SECRET_X') }}", port: 5432}
    big: {type: bigquery, dataset: shop}
other:
  outputs: {dev: {type: duckdb}}
"""


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    path = tmp_path / "profiles.yml"
    path.write_text(PROFILES)
    return path


def test_a_file_is_replaced_and_attached_ones_can_only_be_read(profiles: Path) -> None:
    said = yaml.safe_load(redirected(profiles, "dev", path=Path("/scratch/x.duckdb"), schema=None))
    dev = said["shop"]["outputs"]["dev"]
    assert dev["path"] == "/scratch/x.duckdb"
    assert dev["attach"] == [
        {"path": "other.duckdb", "read_only": True},
        {"path": "third.duckdb", "alias": "third", "read_only": True},
    ]
    assert said["other"]["outputs"]["dev"]["path"] == "/scratch/x.duckdb"


def test_a_schema_is_replaced_and_secrets_stay_templates(profiles: Path) -> None:
    before = yaml.safe_load(PROFILES)["shop"]["outputs"]["prod"]
    said = yaml.safe_load(redirected(profiles, "prod", path=None, schema="mine"))
    assert said["shop"]["outputs"]["prod"] == {**before, "schema": "mine"}
    said = yaml.safe_load(redirected(profiles, "big", path=None, schema="mine"))
    assert said["shop"]["outputs"]["big"] == {"type": "bigquery", "dataset": "mine"}


def test_a_target_that_is_not_there_is_an_error(profiles: Path) -> None:
    with pytest.raises(ScratchError, match="no output 'nope'"):
        redirected(profiles, "nope", path=None, schema="mine")


#: Opens a database to write, and says how that went.
_WRITE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table b as select 1')"


def writes(path: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(path)], capture_output=True, check=False
    )
    assert done.returncode == 0 or b"lock" in done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("keep_lock", [True, False])
def test_a_copy_keeps_its_name_and_the_original_its_rows(tmp_path: Path, keep_lock: bool) -> None:
    real = tmp_path / "warehouse.duckdb"
    duckdb.connect(str(real)).execute("create table a as select 1 as id").close()
    (tmp_path / "to").mkdir()
    with copy_of_file(real, tmp_path / "to", keep_lock=keep_lock) as copy:
        assert copy == tmp_path / "to" / "warehouse.duckdb"
        with duckdb.connect(str(copy)) as connection:
            assert connection.execute("select * from a").fetchall() == [(1,)]
        assert writes(copy)
        assert writes(real) is not keep_lock
    if keep_lock:
        assert writes(real)


def test_a_file_that_is_being_written_is_not_copied(tmp_path: Path) -> None:
    real = tmp_path / "warehouse.duckdb"
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(real)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        writer.stdout.readline()
        with (
            pytest.raises(ScratchError, match="is being written by another process"),
            copy_of_file(real, tmp_path, keep_lock=False),
        ):
            pass
        writer.communicate(b"\n")
