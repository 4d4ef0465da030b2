"""Types of values on the command line: moments, durations, deadlines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dbtorch.core.text.limits import moment

if TYPE_CHECKING:
    from dbtorch.core.model.deadline import DeadlineRule


class Moment(click.ParamType[datetime]):
    """An ISO date or time; without a zone it is UTC."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment that is written."""
        try:
            return moment(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}")


class Duration(click.ParamType[float]):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        from dbtorch.core.text.durations import seconds

        try:
            return seconds(_number(value))
        except ValueError as error:
            self.fail(f"{value!r} is no duration; {error}")


class Deadline(click.ParamType["DeadlineRule"]):
    """A duration, or a time of day."""

    name = "deadline"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> DeadlineRule:
        """The rule that is written."""
        from dbtorch.core.text.deadlines import rule

        try:
            return rule(_number(value))
        except ValueError as error:
            self.fail(f"{value!r} is no deadline; {error}")


class Assignment(click.ParamType[tuple[str, str]]):
    """A name and its value: ``country=de``."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Both."""
        name, equals, said = str(value).partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is no parameter; write name=value")
        return name, said


def named(_context: object, _option: object, text: str | None) -> str | None:
    """A name that is not empty: a shell's variable that is not set says nothing."""
    if text is not None and not text.strip():
        raise click.BadParameter("it is empty; is a variable of the shell not set?")
    return text


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
