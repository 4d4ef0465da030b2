"""jinja2 in a sandbox, and strict: what does not exist is an error and not an empty text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import isroutine
from typing import Any

from jinja2 import ChainableUndefined, Environment, StrictUndefined, nodes, pass_context
from jinja2.sandbox import SandboxedEnvironment

from dbtorch.adapters.template_limits import (
    TemplateError,
    budget,
    counted,
    counted_range,
    too_large,
)

#: Times of a run that are empty as long as none has succeeded.
_MAY_BE_EMPTY = frozenset({"data_interval_start", "previous_success_end"})

#: What a call takes of the budget of a template.
_CALL = 5

#: The filter that every loop's values go through.
_COUNTED = "counted by dbtorch"


class _Missing(ChainableUndefined, StrictUndefined):
    """Strict where it is used, so ``outputs.a.rows | default(0)`` works."""

    @property
    def _undefined_message(self) -> str:
        known = self._undefined_obj
        if self._undefined_name in _MAY_BE_EMPTY:
            return (
                f"{self._undefined_name} is empty, because no earlier run has succeeded on "
                "this target; say what is to stand there with | default(…)"
            )
        if isinstance(known, Mapping):
            names = ", ".join(map(str, known)) or "nothing"
            return f"there is no {self._undefined_name!r} (there is: {names})"
        return super()._undefined_message


class _Uncalled(_Missing):
    """A method, which is there to be called and is no value: ``json.items`` is missing."""

    method: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(obj=self._undefined_obj, name=self._undefined_name)

    __getitem__ = __getattr__


class _Strict(SandboxedEnvironment):
    """What costs too much, or is not there, is an error."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if too_large(operator, left, right):
            raise TemplateError(f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        for loop in parsed.find_all(nodes.For):
            passes = nodes.Filter(loop.iter, _COUNTED, [], [], None, None)
            loop.iter = passes.set_lineno(loop.lineno).set_environment(self)
        return parsed

    def getattr(self, obj: Any, attribute: str) -> Any:
        # JSON has keys such as "items" and "values": the key wins over dict's method.
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return _no_method(super().getattr(obj, attribute), obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return _no_method(super().getitem(obj, argument), obj, argument)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        budget.spend(_CALL)
        called = obj.method if isinstance(obj, _Uncalled) else obj
        return super().call(context, called, *args, **kwargs)


def _no_method(found: Any, obj: Any, name: str) -> Any:
    if not isroutine(found):
        return found
    missing = _Uncalled(obj=obj, name=name)
    missing.method = found
    return missing


@cache
def environment() -> Environment:
    """The one that every template is rendered in."""
    made = _Strict(undefined=_Missing, keep_trailing_newline=True, autoescape=False)
    made.filters[_COUNTED] = pass_context(lambda _context, values: counted(values))
    made.globals["range"] = counted_range
    return made
