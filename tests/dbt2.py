"""dbt 2, which is a binary: a pre-release wheel that carries it, and DuckDB as an ADBC driver.

Later releases download their binary while they are installed. Nothing of it is kept in this project.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from tests.environments import Dbt, Recipe, Unavailable, kept, or_skip, run

RECIPE = Recipe(name="dbt-2", requirements=("dbt==2.0.0rc196",))

#: The npm package that ships ``libduckdb.so``, which exports ADBC's functions.
PACKAGE = "@duckdb/node-bindings-linux-x64"
VERSION = "1.5.6-r.1"
PUBLIC_REGISTRY = "https://registry.npmjs.org"

DRIVER = """\
[Driver]
entrypoint = "duckdb_adbc_init"

[Driver.shared]
linux_amd64 = "{library}"
"""


@functools.cache
def dbt_2() -> Dbt:
    """An environment with dbt 2 and DuckDB.

    Raises `Unavailable` where there is no wheel or no index.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable(f"dbt 2 is tested on Linux x86_64, this is {platform.platform()}")
    folder = kept(RECIPE, add_driver)
    env = {
        "ADBC_DRIVER_PATH": str(folder / "drivers"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_DISABLE_VERSION_CHECK": "true",
        "RUST_BACKTRACE": "0",
    }
    return Dbt(executable=folder / "bin" / "dbt", python=folder / "bin" / "python", env=env)


def add_driver(folder: Path) -> None:
    """Put ``libduckdb.so`` and the driver manifest that names it into an environment."""
    drivers = folder / "drivers"
    drivers.mkdir()
    with tarfile.open(fileobj=io.BytesIO(tarball(folder))) as archive:
        member = archive.extractfile("package/libduckdb.so")
        if member is None:
            raise Unavailable(f"{PACKAGE} {VERSION} has no libduckdb.so")
        library = drivers / "libduckdb.so"
        library.write_bytes(member.read())
    (drivers / "duckdb.toml").write_text(DRIVER.format(library=library))


def tarball(folder: Path) -> bytes:
    """The npm package, by npm if there is one: it knows the registry and how to get in."""
    npm = shutil.which("npm")
    if npm is None:
        return downloaded(os.environ.get("NPM_CONFIG_REGISTRY") or PUBLIC_REGISTRY)
    pack = [npm, "pack", "--silent", "--pack-destination", str(folder), f"{PACKAGE}@{VERSION}"]
    path = folder / run(pack, cwd=folder).split()[-1]
    content = path.read_bytes()
    path.unlink()
    return content


def downloaded(registry: str) -> bytes:
    """The npm package out of a registry, as its checksum there says it is."""
    address = f"{registry.rstrip('/')}/{quote(PACKAGE, safe='@')}/{VERSION}"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            dist = json.load(answer)["dist"]
        with urllib.request.urlopen(dist["tarball"], timeout=300) as answer:
            content = bytes(answer.read())
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"{PACKAGE} {VERSION} cannot be downloaded: {error}") from error
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if dist.get("integrity") != f"sha512-{found}":
        raise Unavailable(f"{PACKAGE} {VERSION} is not what its registry says it is")
    return content


def file_for_both(path: Path, *statements: str) -> None:
    """Make a DuckDB file that both can read: the DuckDB of dbt 2, and a newer one in Python."""
    with duckdb.connect(str(path), config={"storage_compatibility_version": "v1.0.0"}) as file:
        for statement in statements:
            file.execute(statement)


@pytest.fixture(scope="session")
def dbt2() -> Dbt:
    """dbt 2 with DuckDB; the test is skipped where it cannot be had."""
    return or_skip(dbt_2)
