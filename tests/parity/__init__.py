"""Compares `dbtorch run` with `dbt build`, project by project."""
