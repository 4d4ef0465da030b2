"""Fixtures that several suites share."""

pytest_plugins = ["tests.dbt2", "tests.engines", "tests.postgres", "tests.shown", "tests.stores"]
