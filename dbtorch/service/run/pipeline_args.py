"""What a pipeline has dbt told of one run: its variables, and the batches that it stands for."""

from __future__ import annotations

import json
from typing import Any

from dbtorch.core.config import MicrobatchWindow, PipelineSpec
from dbtorch.core.errors import UsageError
from dbtorch.service.project.dbt_options import values_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.run.context import RunContext

#: Options and variables by which somebody says which batches are meant.
_WINDOWS = ("--event-time-start", "--event-time-end", "--sample")
_VARIABLES = ("DBT_EVENT_TIME_START", "DBT_EVENT_TIME_END", "DBT_SAMPLE")


def pipeline_args(
    pipeline: PipelineSpec, options: RunOptions, run_context: RunContext
) -> tuple[str, ...]:
    """Options for dbt, the same for every execution of the run. Raises `UsageError`."""
    return (*_vars(pipeline, options, run_context), *_window(pipeline, options, run_context))


def _vars(pipeline: PipelineSpec, options: RunOptions, run_context: RunContext) -> tuple[str, ...]:
    if not pipeline.vars:
        return ()
    from dbtorch.adapters.template import render
    from dbtorch.adapters.template_limits import TemplateError

    given = _given(options)
    try:
        said = render(
            dict(pipeline.vars),
            env=options.environ,
            vars=given,
            run=_known_early(run_context),
            outputs={},
            extra={"params": run_context.params},
            native=True,
        )
    except TemplateError as error:
        why = f"{pipeline.origin}: vars of pipeline {pipeline.name}: {error}"
        if run_context.goes_on:
            why += "; what a run without a schedule covers is known only after dbt has started"
        raise UsageError(why) from error
    return ("--vars", json.dumps({**said, **given}, default=str))


def _known_early(run_context: RunContext) -> dict[str, Any]:
    """What is known of a run before dbt is started."""
    if not run_context.goes_on:
        return run_context.run
    return {name: run_context.run[name] for name in ("id", "pipeline", "params", "trigger")}


def _given(options: RunOptions) -> dict[str, Any]:
    """The variables of the command line; of text that is none dbt itself complains."""
    import yaml

    texts = values_of(options.dbt_args).get("--vars", ())
    try:
        found = yaml.safe_load(texts[-1]) if texts else {}
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) and texts:
        raise UsageError(
            f"--vars {texts[-1]!r} is no YAML mapping; write such as 'day: 2026-11-01'"
        )
    return found or {}


def _window(
    pipeline: PipelineSpec, options: RunOptions, run_context: RunContext
) -> tuple[str, ...]:
    if pipeline.microbatch is not MicrobatchWindow.INTERVAL and not run_context.partition:
        return ()
    if any(name in options.dbt_args for name in _WINDOWS):
        return ()
    if any(options.environ.get(name) for name in _VARIABLES):
        return ()
    interval = run_context.interval
    if run_context.goes_on or interval.start is None:
        raise UsageError(
            f"{pipeline.origin}: pipeline {pipeline.name} builds the batches of its data interval"
            " (microbatch: interval), and without a schedule that is known only after dbt has"
            " started; give it a schedule, or the run a --logical-date"
        )
    start, end = (f"{at:%Y-%m-%dT%H:%M:%S}" for at in (interval.start, interval.end))
    return ("--event-time-start", start, "--event-time-end", end)
