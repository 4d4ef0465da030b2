"""A run's options as keyword arguments of Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, TypeVar

from dbtorch.core.errors import SelectionError, UsageError
from dbtorch.core.model.deadline import DeadlineAction
from dbtorch.core.model.interval import Interval
from dbtorch.core.settings import Settings
from dbtorch.core.text.deadlines import rule
from dbtorch.core.text.durations import seconds
from dbtorch.core.text.limits import moment
from dbtorch.service.project.dbt_options import DBT_OPTIONS
from dbtorch.service.project.options import RunOptions

_Read = TypeVar("_Read")

#: One selection in dbt's words, or several that are a union.
Selection: TypeAlias = "str | Sequence[str]"

#: Seconds, or a text such as ``"90s"``, ``"5m"``, ``"2h"``.
Duration: TypeAlias = "float | str"


class PlanArguments(TypedDict, total=False):
    """What `Project.plan` and `Project.graph` take; a run takes more (`RunArguments`)."""

    select: Selection  # nodes to include; also ``step:<name>``
    exclude: Selection  # nodes to leave out; also ``step:<name>`` and ``check:<name>``
    selector: str  # one of selectors.yml
    vars: Mapping[str, Any]
    threads: int
    full_refresh: bool
    dbt_args: Sequence[str]  # more options of `dbt build`, each word by itself
    pipeline: str  # of dbtorch.yml; everything by default
    steps: bool  # run steps beside dbt's nodes
    downstream_steps: bool  # with ``select``: run steps after what is selected, too
    freshness: bool  # check sources before what reads them
    checks: bool  # look at what has `checks`
    retries: int  # tries after the first one, for every node
    retry_delay: Duration  # first wait between tries
    retry_max_delay: Duration  # longest wait between tries
    timeout: Duration  # how long one attempt may take


class RunArguments(PlanArguments, total=False):
    """What `Project.run` and `Project.start` take."""

    logical_date: datetime | date | str  # what the run stands for; without a zone it is UTC
    data_interval: tuple[datetime, datetime]  # the same where a scheduler has settled both ends
    partition: str  # key of the pipeline's partition that is to be run, or "first..last"
    params: Mapping[str, Any]  # of the pipeline
    fail_fast: bool
    run_id: str  # of your own: the same again goes on with that run
    fail_on_empty: bool  # raise `SelectionError` when the selection is empty
    grace: Duration  # from asking steps and queries to end to killing them
    wait: Duration  # for whoever runs this pipeline on this target
    deadline: Duration  # when the run is late: ``"2h"`` from now, or ``"08:00"``
    deadline_action: str  # alert or cancel


class ResumeArguments(TypedDict, total=False):
    """What `Project.retry` and `Project.rerun` take besides what they go on with."""

    threads: int
    retries: int
    retry_delay: Duration
    retry_max_delay: Duration
    timeout: Duration
    grace: Duration
    wait: Duration
    deadline: Duration
    deadline_action: str


#: Arguments that are options of dbt, and those that are passed on as they are.
_OF_DBT = ("selector", "threads", "full_refresh", "fail_fast")
_PLAIN = (
    "pipeline",
    "run_id",
    "steps",
    "downstream_steps",
    "freshness",
    "checks",
    "fail_on_empty",
    "params",
    "partition",
)


def options_of(
    project_dir: Path,
    given: Mapping[str, Any],
    *,
    dbt_args: Sequence[str],
    store: str | None,
    artifacts: str | None = None,
    environ: Mapping[str, str],
    called: str,
) -> RunOptions:
    """The options that arguments come to; ``called`` is the method they are given to.

    ``dbt_args`` are options of every call. Raises `UsageError` for a value that means nothing.
    """
    known = RunArguments.__annotations__
    if wrong := sorted(given.keys() - known.keys()):
        raise UsageError(f"{called}() has no argument {wrong[0]!r}; it has {', '.join(known)}")
    _refuse_what_means_nothing(given)
    action = given.get("deadline_action")
    plain = {name: given[name] for name in _PLAIN if given.get(name) is not None}
    words = (*dbt_args, *_words(given))
    return RunOptions(
        project_dir=str(project_dir),
        dbt_args=words,
        narrowed=any(word in words for word in ("--select", "--exclude", "--selector")),
        overrides=Settings(
            retries=given.get("retries"),
            retry_delay=_seconds(given, "retry_delay"),
            retry_max_delay=_seconds(given, "retry_max_delay"),
            timeout=_seconds(given, "timeout"),
        ),
        database_url=store,
        artifacts_url=artifacts,
        logical_date=_moment(given.get("logical_date")),
        tick_interval=_interval(given.get("data_interval")),
        grace=_seconds(given, "grace"),
        wait=_seconds(given, "wait"),
        deadline=_understood("deadline", rule, given.get("deadline")),
        deadline_action=_understood("deadline_action", DeadlineAction, action),
        command=(f"dbtorch.Project.{called}",),
        cwd=project_dir,
        environ=environ,
        **plain,
    )


#: Whole numbers, as the command line takes them.
_LIMITS = {"retries": (0, 1000), "threads": (1, 1000)}


def _refuse_what_means_nothing(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for values that the command line would refuse."""
    for name, (least, most) in _LIMITS.items():
        value = given.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most
        ):
            raise UsageError(f"{name} is {value!r}; a whole number from {least} to {most}")
    for name in ("select", "exclude"):
        if given.get(name) is not None and (name == "select" or given[name]):
            chosen(name, given[name])  # to exclude nothing means something
    for name in ("vars", "params"):
        if not isinstance(given.get(name) or {}, Mapping):
            raise UsageError(f"{name} is {given[name]!r}; a mapping of names to values")


def chosen(name: str, selection: Selection) -> tuple[str, ...]:
    """Selections that choose something. Raises `SelectionError` for none, `UsageError` for no text.

    A script that has computed an empty list means no node, and not all of them.
    """
    if not isinstance(selection, str | Sequence):
        raise UsageError(f"{name} is {selection!r}; a text, or a list of texts")
    found = texts(selection)
    if not all(isinstance(one, str) for one in found):
        raise UsageError(f"{name} is {selection!r}; a text, or a list of texts")
    if not any(one.strip() for one in found):
        raise SelectionError(f"{name} is empty, which chooses nothing; leave it out to choose all")
    return found


def texts(selection: Selection | None) -> tuple[str, ...]:
    """Selections, one a text."""
    if not selection:
        return ()
    return (selection,) if isinstance(selection, str) else tuple(selection)


def _words(given: Mapping[str, Any]) -> list[str]:
    """Options for dbt."""
    words = [word for text in texts(given.get("select")) for word in ("--select", text)]
    words += [word for text in texts(given.get("exclude")) for word in ("--exclude", text)]
    kinds = {option.names[0]: option.kind for option in DBT_OPTIONS}
    for name in _OF_DBT:
        option, value = f"--{name.replace('_', '-')}", given.get(name)
        if value is None or (value is False and kinds[option] == "flag"):
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option.removeprefix('--')}")
        else:
            words += [option, str(value)]
    if given.get("vars"):
        words += ["--vars", json.dumps(dict(given["vars"]), default=str)]
    return [*words, *map(str, given.get("dbt_args") or ())]


def _seconds(given: Mapping[str, Any], name: str) -> float | None:
    return _understood(name, seconds, given.get(name))


def _moment(said: datetime | date | str | None) -> datetime | None:
    text = said.isoformat() if isinstance(said, date) else said
    return _understood("logical_date", moment, text)


def _interval(said: tuple[datetime, datetime] | None) -> str:
    """Both ends as text. Raises `UsageError` for what is no interval."""
    if said is None:
        return ""
    try:
        start, end = (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC) for at in said)
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"data_interval is {said!r}; two datetimes, start and end") from error
    if start >= end:
        raise UsageError(f"data_interval ends at {end}, which is not after its start, {start}")
    return Interval(start, end).to_text()


def _understood(name: str, read: Callable[[Any], _Read], value: Any) -> _Read | None:
    """The value that is meant, or None where none is given."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{name} {value!r}: {error}") from error
