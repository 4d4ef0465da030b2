"""Drives any dbt executable, a part of the graph at a time."""
