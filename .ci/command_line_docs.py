"""Writes ``docs/command-line.md`` from the commands of click.

With ``--check`` it writes nothing, and exits 1 where the page is another one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from dbtorch.cli.main import cli
from dbtorch.cli.options import Helped, group_of
from dbtorch.service.project.dbt_options import DBT_OPTIONS

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"
_HEAD = """\
<!-- Written by .ci/command_line_docs.py. -->
# Command line

Every command and option, as `dbtorch COMMAND --help` has them. `RUN` is `latest`, the id of a run,
or its beginning; `NODE` is a name as dbtorch prints it. [Output and compatibility](output.md) has
exit codes, environment variables and JSON.

For completion of commands and options with Tab, put this into the file of your shell:
`eval "$(_DBTORCH_COMPLETE=bash_source dbtorch)"` in `~/.bashrc`, the same with `zsh_source` in
`~/.zshrc`, or `_DBTORCH_COMPLETE=fish_source dbtorch | source` in `~/.config/fish/config.fish`.

`dbtorch run` takes the options of `dbt build` under dbt's names. It does not take those about what
dbt prints and how it works inside: {not_taken}.
"""
#: Of the options of `dbt build`, those that commands have not.
_NOT_TAKEN = (
    *("include-saved-query", "log-cache-events", "log-file-max-bytes", "log-format-file"),
    *("log-level", "macro-debugging", "partial-parse-file-diff", "partial-parse-file-path"),
    *("print", "printer-width", "record-timing-info", "show", "show-all-deprecations"),
    *("single-threaded", "sqlparse", "upload-to-artifacts-ingest-api", "use-colors"),
    *("use-colors-file", "use-experimental-parser", "use-fast-test-edges"),
)
_OF_DBT = {name for option in DBT_OPTIONS for name in option.names}
_RUN = "dbtorch run"


def page() -> str:
    """The page as the commands have it."""
    commands = list(_commands(click.Context(cli, info_name="dbtorch")))
    known = {_record(context, one) for context in commands[:1] for one in _options(context)}
    assert commands[0].command_path == _RUN
    head = _HEAD.format(not_taken=", ".join(f"`--{name}`" for name in _NOT_TAKEN))
    lines = [head, "| command | |", "| --- | --- |"]
    for context in commands:
        anchor = context.command_path.replace(" ", "-")
        lines.append(f"| [`{context.command_path}`](#{anchor}) | {_help(context)[0]} |")
    for context in commands:
        lines += _section(context, known)
    return "\n".join(lines) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Every command, those of a group right after it."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        yield below
        if isinstance(command, click.Group):
            yield from _commands(below)


def _help(context: click.Context) -> list[str]:
    """The paragraphs of a command's help; the first is a sentence."""
    paragraphs = (context.command.help or "").replace("\b", "").split("\n\n")
    return [" ".join(one.split()).replace("|", "\\|") for one in paragraphs]


def _section(context: click.Context, known: set[tuple[str, str]]) -> Iterator[str]:
    command = context.command
    assert isinstance(command, Helped)
    yield f"\n## {context.command_path}\n"
    yield "\n\n".join(_help(context))
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield f"\nUsage: `{usage}`. See [{command.page}]({command.page}.md).\n"
    yield from (f"- `{line}`: {what}" for line, what in command.examples)
    options = [(one, _record(context, one)) for one in _options(context)]
    own = [record for one, record in options if not {*one.opts} & _OF_DBT]
    of_dbt = [record for one, record in options if {*one.opts} & _OF_DBT]
    if context.command_path == _RUN:
        yield from _table("option", own)
        yield from _table("option of dbt's", of_dbt)
        return
    yield from _table("option", [record for record in own if record not in known])
    like = [names for names, meaning in own + of_dbt if (names, meaning) in known]
    if like:
        short = ", ".join(f"`{re.findall(r'--[a-z-]+', names)[0]}`" for names in like)
        yield f"\nAs for [`dbtorch run`](#dbtorch-run): {short}."


def _options(context: click.Context) -> list[click.Option]:
    """Those that are in the help, by their groups."""
    options = [one for one in context.command.params if isinstance(one, click.Option)]
    groups = [group_of(one.opts) for one in options]
    pairs = sorted(zip(groups, options, strict=True), key=lambda pair: groups.index(pair[0]))
    return [option for _, option in pairs if not option.hidden]


def _record(context: click.Context, option: click.Option) -> tuple[str, str]:
    names, meaning = option.get_help_record(context) or ("", "")
    return names, meaning


def _table(title: str, records: list[tuple[str, str]]) -> Iterator[str]:
    if records:
        yield f"\n| {title} | meaning |\n| --- | --- |"
    for record in records:
        names, meaning = (text.replace("|", "\\|") for text in record)
        yield f"| `{names}` | {meaning} |"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif page() != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE.name} is not what the commands are: run .ci/command_line_docs.py")
