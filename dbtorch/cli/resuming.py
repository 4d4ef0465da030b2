"""`dbtorch retry` and `dbtorch rerun`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from dbtorch.app.resume import outputs
from dbtorch.cli.asked import Asked
from dbtorch.cli.errors import UsageError
from dbtorch.cli.history.lookup import read_run
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.options import values_of, without
from dbtorch.cli.project import open_project
from dbtorch.cli.run_options import Options
from dbtorch.core.history import RunRecord

#: Options that say how a stretch is executed, not what it comes to: a retry may have its own.
_FREE = frozenset(
    {
        "--threads",
        "--fail-fast",
        "--version-check",
        "--partial-parse",
        "--static-parser",
        "--populate-cache",
        "--cache-selected-only",
        "--write-json",
        "--log-path",
        "--log-level-file",
        "--debug",
        "--send-anonymous-usage-stats",
    }
)


def retry(options: Options, text: str, asked: Asked) -> int:
    """Go on with a run: what did not succeed, and what depends on it. Answers the exit code."""
    from dbtorch.cli.launching import launch
    from dbtorch.cli.stretch import Stretch, opened_history

    project = open_project(options.project_dir)
    store = opened_history(project, options, create=False)
    try:
        earlier = read_run(store, text)
    finally:
        store.close()
    asked.check(earlier)
    refuse_another_run(earlier, options)
    words = _with_own(earlier, options)
    goes_on = replace(Options.from_record(earlier), **options.of_this_stretch(), dbt_args=words)
    occasion = Occasion(
        run_id=earlier.run_id,
        pipeline=earlier.pipeline,
        logical_date=earlier.logical_date,
        data_interval_start=earlier.data_interval_start,
        data_interval_end=earlier.data_interval_end,
        outputs=outputs(earlier),
    )
    with ExitStack() as stack:
        begun = launch(stack, project, goes_on, occasion)
        return Stretch(stack, begun, earlier.started_at, earlier, asked).go()


def refuse_another_run(earlier: RunRecord, options: Options) -> None:
    """Raise `UsageError` for options that would make another run of it."""
    had = values_of(Options.from_record(earlier).dbt_args)
    for name, values in values_of(options.dbt_args).items():
        if name in _FREE or _same(name, values, had.get(name, ())):
            continue
        was = " ".join(had.get(name, ())) or "not given"
        hint = f"start another run with `dbtorch run {name} …`"
        if name in ("--select", "--exclude", "--selector"):
            hint = f"`dbtorch rerun {earlier.run_id} --select …` runs a part of it again"
        raise UsageError(
            f"run {earlier.run_id} goes on as it was started, and {name} was {was}: {hint}"
        )


def _same(name: str, values: Sequence[str], had: Sequence[str]) -> bool:
    if name == "--vars":
        return _vars(values) == _vars(had)
    return list(values) == list(had)


def _vars(values: Sequence[str]) -> object:
    import yaml

    try:
        return yaml.safe_load(values[-1]) or {} if values else {}
    except yaml.YAMLError:
        return values[-1]


def _with_own(earlier: RunRecord, options: Options) -> tuple[str, ...]:
    """The run's options for dbt, with this stretch's own where it may have some."""
    own = {name for name in values_of(options.dbt_args) if name in _FREE}
    kept = without(Options.from_record(earlier).dbt_args, own)
    refused = {name for name in values_of(options.dbt_args) if name not in _FREE}
    return (*kept, *without(options.dbt_args, refused))
