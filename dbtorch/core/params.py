"""Parameters of a pipeline: what may be said of one run, and what it comes to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from dbtorch.core.errors import Refused, UsageError
from dbtorch.core.keys import FreeText, key
from dbtorch.core.text.nearest import did_you_mean


class ParamType(StrEnum):
    """What values a parameter takes. Each is kept as JSON has it; a date is its text."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamSpec:
    """A parameter as it was declared."""

    type: ParamType | None = field(
        default=None,
        metadata=key("What values it takes.", default="that of `default`, or `string`"),
    )
    default: Any = field(
        default=None, metadata=key("Its value where nobody says one.", example="de")
    )
    choices: tuple[Any, ...] = field(
        default=(),
        metadata=key("The values that it may have.", default="any of its type", example="[de, fr]"),
    )
    required: bool | None = field(
        default=None,
        metadata=key(
            "Whether a run must say its value; without one, and without a default, it is null.",
            default="true, where it has no `default`",
            example="false",
        ),
    )
    description: FreeText = field(default="", metadata=key("What it is for.", example="Country."))

    @property
    def kind(self) -> ParamType:
        """The type that was said, or the one of its default."""
        by_value = {bool: ParamType.BOOLEAN, int: ParamType.INTEGER, float: ParamType.NUMBER}
        return self.type or by_value.get(type(self.default), ParamType.STRING)

    @property
    def must_be_said(self) -> bool:
        """Whether no run begins without it."""
        return self.default is None if self.required is None else self.required

    def value(self, said: Any) -> Any:
        """What somebody says of it, as JSON has it. Raises `Refused`: "expected …"."""
        found = _READERS[self.kind](said)
        allowed = [_READERS[self.kind](one) for one in self.choices]
        if allowed and found not in allowed:
            raise Refused(f"expected one of {', '.join(map(str, allowed))}")
        return found


def settled(
    pipeline: str, specs: Mapping[str, ParamSpec], given: Mapping[str, Any], *, runs: bool = True
) -> dict[str, Any]:
    """The parameters of a run: what is given, and defaults for the rest. Raises `UsageError`.

    Where nothing ``runs``, what a run would have to be told is null.
    """
    for name in given:
        if name not in specs:
            known = did_you_mean(name, specs) or (
                f"; it has {', '.join(specs)}" if specs else "; it has none"
            )
            raise UsageError(f"pipeline {pipeline} has no parameter {name!r}{known}")
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        if name not in given:
            if runs and spec.must_be_said:
                raise UsageError(
                    f"pipeline {pipeline} needs a value: --param {name}=…, or a default of it"
                )
            found[name] = None if spec.default is None else spec.value(spec.default)
            continue
        try:
            found[name] = spec.value(given[name])
        except Refused as error:
            shown = str(given[name])[:100]
            raise UsageError(
                f"parameter {name} of pipeline {pipeline} is {shown!r}; {error}"
            ) from None
    return found


def _string(said: Any) -> str:
    if isinstance(said, bool | int | float):
        return str(said)
    if not isinstance(said, str) or "\0" in said or not said.isprintable():
        raise Refused("expected text on one line")
    return said


def _integer(said: Any) -> int:
    try:
        if isinstance(said, int | str) and not isinstance(said, bool) and len(str(said)) < 20:
            return int(said)
    except ValueError:
        pass
    raise Refused("expected a whole number")


def _number(said: Any) -> float:
    try:
        if isinstance(said, int | float | str) and not isinstance(said, bool):
            found = float(said)
            if math.isfinite(found):
                return found
    except (ValueError, OverflowError):
        pass
    raise Refused("expected a number")


def _boolean(said: Any) -> bool:
    words = {"true": True, "false": False}
    found = words.get(str(said).lower())
    if found is None:
        raise Refused("expected true or false")
    return found


def _date(said: Any) -> str:
    try:
        return date.fromisoformat(str(said)).isoformat()
    except ValueError:
        raise Refused("expected a date such as 2026-11-01") from None


_READERS = {
    ParamType.STRING: _string,
    ParamType.INTEGER: _integer,
    ParamType.NUMBER: _number,
    ParamType.BOOLEAN: _boolean,
    ParamType.DATE: _date,
}
