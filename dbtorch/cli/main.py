"""The command line: parses, and calls one function per verb."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from dbtorch.cli.errors import INTERNAL, OK, USAGE

#: Verb -> one line for `dbtorch --help`. Its click command has a module of its own in `commands/`.
COMMANDS = {
    "run": "Run the project, or a part of it.",
    "plan": "Show what would run, in which order and why.",
    "retry": "Run again what did not succeed, and what depends on it.",
    "rerun": "Run a part of a run again, whatever its state.",
    "mark": "Set the state of a node in a run by hand.",
    "cancel": "Cancel a run that is under way, or nodes of it.",
    "ci": "Build what a pull request changes, and compare it with production.",
    "serve": "Start each pipeline by its schedule.",
    "worker": "Execute steps of runs that are driven on other machines.",
    "trigger": "Have dbtorch serve run a pipeline.",
    "schedule": "Show when pipelines run next.",
    "export": "Write schedules for cron, Kubernetes or GitHub.",
    "partitions": "Show which partitions are done, missing, failed or old.",
    "backfill": "Run partitions of the past again.",
    "backfills": "Show how far backfills are; pause, resume or cancel one.",
    "pause": "Keep a pipeline from starting by its schedule.",
    "resume": "Let a paused pipeline start by its schedule again.",
    "runs": "List runs.",
    "show": "Show one run.",
    "logs": "Show the log of a node.",
    "ui": "Show pipelines, runs and logs in a browser.",
    "report": "Write one run as a file of HTML.",
    "status": "Show how old pipelines, sources and models are.",
    "alerts": "Try out, list and deliver alerts.",
    "freshness": "Check sources; exit with 3 when one is stale.",
    "graph": "Draw the graph as text, Mermaid or DOT.",
    "init": "Write a commented dbtorch.yml for this project.",
    "validate": "Check dbtorch.yml, meta.dbtorch and the graph.",
    "schema": "Print the JSON Schema of dbtorch.yml, for editors.",
    "check-idempotent": "Run a step or model twice and compare.",
    "docs": "Print a page of the documentation.",
    "doctor": "Check the installation, and say what to do.",
    "prune": "Remove runs that ended long ago.",
    "db": "Show where the history is, and bring it up to date.",
}


#: Headings of `dbtorch --help`; a command that is in none of them is under the last one.
_GROUPS = {
    "Run": ("run", "plan", "retry", "rerun", "mark", "cancel", "ci"),
    "Start by schedule": ("serve", "worker", "trigger", "schedule", "pause", "resume", "export"),
    "Run the past again": ("partitions", "backfill", "backfills"),
    "Look": ("runs", "show", "logs", "ui", "report", "status", "freshness", "graph"),
    "Set up and maintain": (),
}

_EXAMPLES = (
    ("dbtorch run", "build everything in the dbt project of this folder"),
    ("dbtorch retry", "continue the last run after a failure"),
    ("dbtorch init", "write a dbtorch.yml to start from"),
)


def grouped() -> dict[str, dict[str, str]]:
    """Commands and their line of help, by heading."""
    last = [*_GROUPS][-1]
    heading = {name: group for group, names in _GROUPS.items() for name in names}
    found: dict[str, dict[str, str]] = {group: {} for group in _GROUPS}
    for name, said in COMMANDS.items():
        found[heading.get(name, last)][name] = said
    return found


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        called = name.replace("-", "_")
        command = getattr(importlib.import_module(f"dbtorch.cli.commands.{called}"), called)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(_no_command(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in grouped().items():
            with formatter.section(heading):
                formatter.write_dl([*commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write_dl([*_EXAMPLES])
        with formatter.section("Documentation"):
            formatter.write_dl(
                [("dbtorch docs", "all pages"), ("dbtorch docs quickstart", "the tutorial")]
            )


#: dbt's verbs, and what dbtorch has for them.
_OF_DBT = {
    "build": "`dbtorch run` builds all that `dbt build` does",
    "test": "`dbtorch run --select resource_type:test` runs the tests alone",
    "seed": "`dbtorch run --select resource_type:seed` loads the seeds alone",
    "snapshot": "`dbtorch run --select resource_type:snapshot` takes the snapshots alone",
    "ls": "`dbtorch plan` lists what would run",
    "list": "`dbtorch plan` lists what would run",
    "parse": "`dbtorch validate` reads the project and checks it",
    "source": "`dbtorch freshness` checks the sources",
    "debug": "`dbtorch doctor` checks the connection",
    **dict.fromkeys(
        ("compile", "deps", "clean", "clone", "show", "run-operation"), "ask dbt for that"
    ),
}


def _no_command(name: str) -> str:
    """What to write instead of a command that there is not."""
    if name in _OF_DBT:
        return f"there is no command {name!r}: {_OF_DBT[name]}"
    from dbtorch.core.text.nearest import did_you_mean

    hint = did_you_mean(name, COMMANDS) or "; `dbtorch --help` lists the commands"
    return f"there is no command {name!r}{hint}"


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from dbtorch.cli.text.terminal import echo
    from dbtorch.version import VERSION

    echo(f"dbtorch {VERSION}")
    ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def cli() -> None:
    """Run a dbt project node by node, with retries, steps, a history and alerts."""


def main(args: list[str] | None = None) -> int:
    """Run the command; this is the one place that turns errors into exit codes."""
    try:
        result: Any = cli.main(args=args, prog_name="dbtorch", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _refuse(error)
    except (click.Abort, KeyboardInterrupt):
        return _interrupted(sys.argv[1:] if args is None else args)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a program that SIGPIPE ends
    except BaseException as error:
        return _explain(error)


def _interrupted(words: list[str]) -> int:
    """An interrupt that came before anybody listened; only a run says what became of it."""
    from dbtorch.cli.text.terminal import echo
    from dbtorch.service.run.control import NOTHING_BEGAN

    if words[:1] == ["run"]:
        echo(f"Stopped by SIGINT: {NOTHING_BEGAN}", err=True)
    return 130


def _refuse(error: click.ClickException) -> int:
    import io

    from dbtorch.cli.text.terminal import echo

    said = io.StringIO()
    error.show(said)  # it quotes what was written
    echo(said.getvalue().rstrip(), err=True)
    return USAGE


def internal(error: BaseException) -> int:
    """Tell a mistake of our own, with all that helps to mend it."""
    import traceback

    from dbtorch.cli.text.terminal import echo
    from dbtorch.version import VERSION

    echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    echo(
        f"Error: this is a mistake of dbtorch {VERSION}, not yours; please report it with the lines"
        " above. A run that had begun goes on with `dbtorch retry`",
        err=True,
    )
    return INTERNAL


def _explain(error: BaseException) -> int:
    from dbtorch.cli.errors import Stopped, disk_trouble, exit_code
    from dbtorch.cli.text.terminal import echo
    from dbtorch.core.errors import DbtorchError, NothingToDo
    from dbtorch.core.failures.message import sentence

    if isinstance(error, Stopped):
        from signal import Signals

        so = f": {error.so}" if error.so else ""
        echo(f"Stopped by {Signals(error.signum).name}{so}", err=True)
        return 128 + error.signum
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, NothingToDo):
        echo(str(error))
        return OK
    trouble = disk_trouble(error)
    if trouble is None and not isinstance(error, DbtorchError):
        return internal(error)
    echo(f"Error: {trouble or sentence(error)}", err=True)
    return exit_code(error)
