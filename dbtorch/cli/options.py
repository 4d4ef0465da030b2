"""dbt's own options, under dbt's names, on dbtorch's commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from dbtorch.core.text.limits import MOST_THREADS
from dbtorch.core.text.pages import address
from dbtorch.service.project.dbt_options import (
    DBT_OPTIONS,
    FREE,
    FRESHNESS_OPTIONS,
    PROFILE_OPTIONS,
    DbtOption,
)

#: Headings of a long list of options, and what is under each; all else is under the last one.
_GROUPS = {
    "What runs": "pipeline select exclude selector resource-type exclude-resource-type"
    " indirect-selection state defer defer-state favor-state steps downstream-steps freshness"
    " checks fail-on-empty fail-on from same-code run-id"
    " to reprocess missing failed stale-code late",
    "Pull request": "pr base state-from max-state-age no-state schema skip-forks clone compare"
    " ignore tolerance sample-above limit-event-time max-duration lint baseline update-baseline",
    "How it runs": "full-refresh empty sample vars param event-time-start event-time-end"
    " logical-date partition max-active merge reverse dry-run threads fail-fast store-failures"
    " warn-error warn-error-options",
    "Where": "project-dir target profile profiles-dir target-path database-url artifacts-url",
    "Retries and time": "retries retry-delay retry-max-delay timeout deadline"
    " deadline-action grace wait",
    "What is printed": "log-format quiet report format junit comment comment-file"
    " code-quality reason help",
}
_REST = "More of dbt's options"

#: Fewer options than this are one list.
_MANY = 15

_SELECTING = ("dbt_select", "dbt_exclude", "dbt_selector")


class Helped(click.Command):
    """A command whose help ends with examples and with the page that says more.

    ``examples`` are command lines and what each is for, ``page`` is a name in ``docs/``.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), page: str = "", **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.examples = list(examples)
        self.page = page

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options by what they are about, where there are many."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        records = [(one.opts, one.get_help_record(ctx)) for one in options]
        written = [(opts, record) for opts, record in records if record is not None]
        if len(written) < _MANY:
            super().format_options(ctx, formatter)
            return
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in (*_GROUPS, _REST)}
        for opts, record in written:
            groups[group_of(opts)].append(record)
        for name, listed in groups.items():
            if listed:
                with formatter.section(name):
                    formatter.write_dl(listed)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, and where to read on."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write_dl(self.examples)
        if self.page:
            with formatter.section("Documentation"):
                formatter.write_text(address(self.page))


class HelpedGroup(Helped, click.Group):
    """A command with commands of its own."""


class DbtCommand(Helped):
    """A command whose ``--select a b`` takes several words, as dbt's does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option in front of each further word."""
        many = {name for option in DBT_OPTIONS if option.kind == "many" for name in option.names}
        return super().parse_args(ctx, _spread(args, many))


class DbtGroup(DbtCommand, HelpedGroup):
    """The same with commands of its own."""


def group_of(names: Sequence[str]) -> str:
    """The heading that an option is under."""
    bare = {name.lstrip("-") for name in names}
    return next((group for group, listed in _GROUPS.items() if bare & {*listed.split()}), _REST)


def _spread(args: Sequence[str], many: set[str]) -> list[str]:
    spread: list[str] = []
    current: str | None = None
    fresh = False
    for arg in args:
        if arg.startswith("-") and arg != "-":
            name, written, _ = arg.partition("=")  # --select=a takes more words as well
            current, fresh = (name, not written) if name in many else (None, False)
            spread.append(arg)
        elif current is not None and not fresh:
            spread += [current, arg]
        else:
            spread.append(arg)
            fresh = False
    return spread


def dbt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add dbt's options to a click command."""
    for option in reversed(DBT_OPTIONS):
        command = _click_option(option)(command)
    return command


def resume_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a run that goes on: what would make another run of it is not in the help."""
    for option in reversed(DBT_OPTIONS):
        command = _click_option(option, hidden=option.names[0] not in FREE)(command)
    return command


def freshness_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of dbt's options that `dbt source freshness` takes."""
    return _some_options(command, FRESHNESS_OPTIONS)


def backfill_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of dbt's options that say what of a pipeline is run again, and where."""
    return _some_options(command, ("--select", "--exclude", "--target"))


def profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of dbt's options that say which profile and target."""
    return _some_options(command, PROFILE_OPTIONS)


def _some_options(command: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    for option in reversed(DBT_OPTIONS):
        if option.names[0] in names:
            command = _click_option(option)(command)
    return command


def _click_option(
    option: DbtOption, *, hidden: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    first = option.names[0]
    said: dict[str, Any] = {"help": option.help, "hidden": hidden}
    if option.kind == "switch":
        bare = first.removeprefix("--")
        names = [f"{first}/--no-{bare}", *option.names[1:]]
        return click.option(*names, option.key, default=None, **said)
    if option.kind == "flag":
        return click.option(*option.names, option.key, is_flag=True, default=None, **said)
    many = option.kind == "many"
    type = click.IntRange(1, MOST_THREADS) if option.kind == "number" else str
    return click.option(*option.names, option.key, multiple=many, type=type, **said)


def selects(given: Mapping[str, Any]) -> bool:
    """Whether anything narrows the run to a part of the project."""
    return any(given.get(key) for key in _SELECTING)
