"""A run that goes on, from where it ended or as somebody wants."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from dbtorch.adapters.home import expanded
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.app.earlier import outputs
from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.identity import Identity
from dbtorch.service.history.lookup import read_run
from dbtorch.service.project.dbt_options import FREE, values_of, without
from dbtorch.service.project.environment import flags_of, kept_flags, restore, restore_flags
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.project.store_scope import identity_of
from dbtorch.service.resume.request import RetryRequest
from dbtorch.service.run.context import NOT_BEGUN, RunContext
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.listener import Executed, Listen
from dbtorch.service.run.private_context import as_started

#: Options that name a folder from where the command was given.
_FOLDERS = frozenset({"--profiles-dir", "--state", "--defer-state"})


def retry(
    options: RunOptions, text: str, request: RetryRequest, listen: Listen, control: RunControl
) -> Executed:
    """Go on with a run: what did not succeed, and what depends on it.

    Returns when it has ended. Raises as `dbtorch.service.run.run` does, `NothingToDo` as well.
    """
    from dbtorch.service.history.store import history_of
    from dbtorch.service.run.execution import Execution
    from dbtorch.service.run.launch import launch

    project = open_project(options.project_dir, options.environ)
    with closing(history_of(project, options)) as store:
        earlier = read_run(store, text)
    refuse_another_place(earlier, store.identity)
    control.outlook = f"run {earlier.run_id} is as it was"
    environ = dict(options.environ)
    if "environ" in earlier.options:  # a run of an older dbtorch does not know
        restore(environ, earlier.options["environ"])
    if "flags" in earlier.options:
        restore_flags(environ, kept_flags(earlier), flags_of(project.dir))
    files = RunFiles(state_dir(project.dir, options.environ), earlier.run_id)
    earlier = as_started(earlier, files, options.dbt_args)
    refuse_another_run(earlier, options)
    request.check(earlier)
    before = replace(RunOptions.from_record(earlier), environ=environ)
    words = _words(project, earlier, options, before)
    goes_on = replace(before, **options.of_this_execution(), dbt_args=words)
    run_context = RunContext.recorded(earlier, outputs(earlier))
    with ExitStack() as stack, control.explains():
        launched = launch(stack, project, goes_on, run_context, listen=listen, control=control)
        return Execution(stack, launched, earlier, request).go()


def refuse_another_place(earlier: RunRecord, identity: Identity) -> None:
    """Raise `UsageError` for a run on a target that only has the same name here."""
    here = identity.places.get(earlier.target)
    if earlier.place and here is not None and here != earlier.place:
        raise UsageError(
            f"run {earlier.run_id} built {earlier.place}, and that target is {here} here: go on"
            " with it where it was started, or start another one with `dbtorch run`"
        )


def refuse_another_run(earlier: RunRecord, options: RunOptions) -> None:
    """Raise `UsageError` for options that would make another run of it."""
    before = RunOptions.from_record(earlier)
    had = values_of(before.dbt_args)
    for name, values in values_of(options.dbt_args).items():
        was_given = had.get(name, ())
        if name in _FOLDERS:
            same = _in(options.cwd, values) == _in(before.cwd, was_given)
        else:
            same = _same(name, values, was_given)
        if same or name in FREE:
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


def _in(cwd: Path, values: Sequence[str]) -> list[Path]:
    """Folders, wherever they were named from."""
    return [(cwd / expanded(value)).resolve() for value in values]


def _vars(values: Sequence[str]) -> object:
    import yaml

    try:
        return yaml.safe_load(values[-1]) or {} if values else {}
    except yaml.YAMLError:
        return values[-1]


def _words(
    project: Project, earlier: RunRecord, options: RunOptions, before: RunOptions
) -> tuple[str, ...]:
    """The run's options for dbt, with this execution's own where it may have some.

    Those it was started with, to the word: dbt parses the whole project anew where it is told a
    target that it was not told before. Only where the default is another one by now it is told.
    """
    own = {name for name in values_of(options.dbt_args) if name in FREE}
    refused = {name for name in values_of(options.dbt_args) if name not in FREE}
    words = (
        *without(earlier.options["dbt_args"], own),
        *without(options.dbt_args, refused),
    )
    unknown = earlier.options.get(NOT_BEGUN) and earlier.place == earlier.target
    if "--target" in words or unknown:  # there was no profile that named one
        return words
    default = pipeline_of(project.config, before).target
    default = (
        default or identity_of(project, None, words, environ=before.environ, cwd=before.cwd).target
    )
    return words if default == earlier.target else (*words, "--target", earlier.target)
