"""Templates in ``dbtorch.yml``: jinja2 with dbt's ``env_var`` and ``var``, in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.template_limits import TemplateError, budget

if TYPE_CHECKING:
    from jinja2 import Environment

#: One expression and nothing around it.
_LONE = re.compile(r"\s*\{\{-?((?:(?!\{\{|\}\}).)*?)-?\}\}\s*", re.DOTALL)


class Moment(datetime):
    """A time that prints as ISO 8601 and is still a time: ``{{ run.logical_date.date() }}``."""

    def __str__(self) -> str:
        return self.isoformat()


def run_values(
    *,
    id: str,
    pipeline: str,
    logical_date: datetime,
    data_interval_start: datetime | None,
    data_interval_end: datetime,
    previous_success_end: datetime | None = None,
    partition: str | None = None,
    params: Mapping[str, Any] | None = None,
    trigger: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What templates know as ``run``: a time that is empty is not there, or "None" would be."""
    times = {
        "logical_date": logical_date,
        "data_interval_start": data_interval_start,
        "data_interval_end": data_interval_end,
        "previous_success_end": previous_success_end,
    }
    known = {name: _moment(time) for name, time in times.items() if time is not None}
    return {
        "id": id,
        "pipeline": pipeline,
        **known,
        "partition": partition,
        "params": dict(params or {}),
        "trigger": dict(trigger or {}),
    }


def render(
    template: Any,
    *,
    env: Mapping[str, str],
    vars: Mapping[str, Any],
    run: Mapping[str, Any],
    outputs: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    native: bool = False,
) -> Any:
    """Render every string in ``template``: text, or nested lists and mappings (their values).

    With ``native`` a string that is one expression and nothing else keeps the expression's type.
    Raises `TemplateError`.
    """
    names = {
        "env_var": _env_var(env),
        "var": _var(vars),
        "run": run,
        "outputs": outputs,
        **(extra or {}),
    }
    return _nested(template, names, native=native)


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of a jinja expression, with or without braces. Raises `TemplateError`."""
    lone = _LONE.fullmatch(expression)
    text = lone.group(1) if lone else expression
    return _guarded(expression, lambda: _value(text, names))


def broken(expression: str) -> str | None:
    """What is wrong with how a jinja expression is written; None when nothing is."""
    lone = _LONE.fullmatch(expression)
    try:
        _environment().compile_expression(lone.group(1) if lone else expression)
    except Exception as error:
        return " ".join(str(error).split())
    return None


def unknown(template: str, known: Collection[str]) -> list[str]:
    """Names in a template that are not among these; none where it cannot be read."""
    from jinja2 import TemplateError as NoTemplate
    from jinja2.meta import find_undeclared_variables

    jinja = _environment()
    try:
        names = find_undeclared_variables(jinja.parse(template))
    except NoTemplate:
        return []
    return sorted(names - {*known, *jinja.globals})


def _nested(template: Any, names: Mapping[str, Any], *, native: bool) -> Any:
    if isinstance(template, str):
        return _text(template, names, native=native)
    if isinstance(template, Mapping):
        return {key: _nested(value, names, native=native) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [_nested(value, names, native=native) for value in template]
    return template


def _text(template: str, names: Mapping[str, Any], *, native: bool) -> Any:
    if "{{" not in template and "{%" not in template:
        return template
    lone = _LONE.fullmatch(template) if native else None
    if lone:
        return _guarded(template, lambda: _value(lone.group(1), names))
    return _guarded(template, lambda: _environment().from_string(template).render(names))


def _value(expression: str, names: Mapping[str, Any]) -> Any:
    from jinja2 import Undefined

    value = _environment().compile_expression(expression, undefined_to_none=False)(**names)
    if isinstance(value, Undefined):
        str(value)  # a strict one raises, and says what is missing
    return value


def _guarded(template: str, work: Any) -> Any:
    """Do it; whatever a user's expression raises becomes a `TemplateError`."""
    budget.renew()
    try:
        return work()
    except TemplateError as error:
        raise TemplateError(f"{error} (in {_quoted(template)})") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TemplateError(f"cannot render {_quoted(template)}: {reason}") from error


def _quoted(template: str) -> str:
    text = " ".join(template.split())
    return repr(text if len(text) <= 120 else text[:119] + "…")


def _environment() -> Environment:
    from dbtorch.adapters.strict_jinja import environment  # whoever has no template needs no jinja2

    return environment()


def _env_var(env: Mapping[str, str]) -> Any:
    """The function ``env_var`` of dbt, with dbt's words when it is missing."""

    def env_var(name: str, default: str | None = None) -> str:
        value = env.get(name, default)
        if value is None:
            raise TemplateError(f"Env var required but not provided: '{name}'")
        return value

    return env_var


def _var(vars: Mapping[str, Any]) -> Any:
    """The function ``var`` of dbt, with dbt's words when it is missing."""

    def var(name: str, default: Any = None) -> Any:
        if name in vars:
            return vars[name]
        if default is None:
            raise TemplateError(f"Required var '{name}' not found in config")
        return default

    return var


def _moment(time: datetime) -> Moment:
    return Moment.fromisoformat(time.isoformat())
