"""Schedules of pipelines as files of other schedulers."""
