"""Fixtures that several suites share."""

pytest_plugins = ["tests.dbt2", "tests.postgres", "tests.stores"]
