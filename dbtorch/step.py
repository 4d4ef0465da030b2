"""``@dbtorch.step`` declares a step in Python; `Retry`, `Fail` and `Skip` end one early.

Standard library only, and Python 3.9: the process of a step loads this file also where the rest
of dbtorch is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, overload

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Retry(Exception):
    """Not now: a transient failure. ``after`` is how long to wait at least, in seconds."""

    dbtorch_outcome = "transient"

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if isinstance(after, timedelta):
            after = after.total_seconds()
        try:
            self.after = None if after is None else float(after)
        except OverflowError:  # an int beyond all floats
            self.after = float("inf")


class Fail(Exception):
    """Trying again is of no use: a failure that is not retried."""

    dbtorch_outcome = "code"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Skip(Exception):
    """There is nothing to do: the step, and what depends on it, is skipped."""

    dbtorch_outcome = "skipped"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Context:
    """What a python step is given."""

    run_id: str
    pipeline: str
    step: str
    attempt: int  # 1 is the first
    logical_date: datetime
    data_interval_start: datetime | None  # None: nothing has been loaded before
    data_interval_end: datetime
    project_dir: Path
    idempotency_key: str  # the same for every attempt of this step for this logical date
    previous_success_end: datetime | None = None  # of the interval of the last success
    partition: str | None = None  # key of the run's partition, or "first..last"
    target: Mapping[str, Any] = field(default_factory=dict)  # name, type, database, schema, path
    params: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)  # of earlier steps, by step name
    trigger: Mapping[str, Any] = field(default_factory=dict)  # what started the run: kind, text


@dataclass(frozen=True)
class Declaration:
    """One use of the decorator; ``options`` holds what was said."""

    module: str
    function: str
    file: str
    line: int
    description: str
    options: Mapping[str, Any]


#: Every use of the decorator in this process, in the order modules were imported.
declared: list[Declaration] = []


@overload
def step(function: _Function, /) -> _Function: ...


@overload
def step(
    *,
    name: str | None = None,
    produces: str | Sequence[str] | None = None,
    after: str | Sequence[str] | None = None,
    when: str | None = None,
    params: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    retries: int | None = None,
    retry: Mapping[str, Any] | None = None,
    retry_delay: float | str | None = None,
    retry_max_delay: float | str | None = None,
    timeout: float | str | None = None,
    on_failure: str | None = None,
    pool: str | None = None,
    priority: int | None = None,
    owner: str | None = None,
    runbook: str | None = None,
    deadline: float | str | None = None,
    max_age: float | str | None = None,
    opens_database: bool | None = None,
    queue: str | None = None,
) -> Callable[[_Function], _Function]: ...


def step(function: Any = None, /, **options: Any) -> Any:
    """Declare a function as a step; the options are those of a step in ``dbtorch.yml``.

    Times are seconds, or text such as "10m". The function itself stays as it is.
    """

    def declare(function: Any) -> Any:
        inner = function
        while hasattr(inner, "__wrapped__"):  # other decorators in between
            inner = inner.__wrapped__
        code = inner.__code__
        documented = (function.__doc__ or "").strip().splitlines()
        said = {key: value for key, value in options.items() if value is not None}
        declared.append(
            Declaration(
                module=function.__module__,
                function=function.__qualname__,
                file=code.co_filename,
                line=code.co_firstlineno,
                description=documented[0] if documented else "",
                options=said,
            )
        )
        return function

    return declare if function is None else declare(function)


class _Module(ModuleType):
    """Importing a submodule puts it into its package: then ``dbtorch.step`` is this module."""

    def __call__(self, function: Any = None, /, **options: Any) -> Any:
        return step(function, **options)


sys.modules[__name__].__class__ = _Module
