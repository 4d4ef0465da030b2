"""A real Postgres for tests: one throw-away database a test process, one schema a test.

``DBTORCH_TEST_POSTGRES`` is the libpq URL of a server where databases may be created.
"""

import os
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

VARIABLE = "DBTORCH_TEST_POSTGRES"


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of the server; the test is skipped when there is none."""
    url = os.environ.get(VARIABLE)
    if not url:
        pytest.skip(f"needs a Postgres: {VARIABLE} is not set")
    return url


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str) -> Iterator[str]:
    """URL of an empty database that lives as long as the test process."""
    psycopg = pytest.importorskip("psycopg")
    name = f"dbtorch_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield with_database(postgres_server, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_database: str) -> Iterator[str]:
    """URL of an empty schema of its own."""
    psycopg = pytest.importorskip("psycopg")
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield with_option(postgres_database, f"options=-csearch_path%3D{name}")
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_option(url: str, option: str) -> str:
    """The same address with one more option, ``key=value``."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, option]))))
