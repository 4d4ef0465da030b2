"""Fixtures that several suites share."""

pytest_plugins = ["tests.postgres", "tests.stores"]
