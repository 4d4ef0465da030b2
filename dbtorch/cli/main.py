"""The command line: parses, and calls one function per verb."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dbtorch.cli.errors import USAGE

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.early import Early

#: Verb -> (module that has its click command, one line for `dbtorch --help`).
COMMANDS = {
    "run": ("dbtorch.cli.commands", "Run the project, or a part of it."),
    "plan": ("dbtorch.cli.commands", "Show what would run, in which order and why."),
    "retry": ("dbtorch.cli.commands", "Run again what did not succeed, and what depends on it."),
    "rerun": ("dbtorch.cli.commands", "Run a part of a run again, whatever its state."),
    "mark": ("dbtorch.cli.by_hand", "Say that a node of a run succeeded or failed."),
    "cancel": ("dbtorch.cli.by_hand", "Cancel a run that is under way, or nodes of it."),
    "runs": ("dbtorch.cli.reading", "List runs."),
    "show": ("dbtorch.cli.reading", "Show one run."),
    "logs": ("dbtorch.cli.reading", "Show the log of a node."),
    "status": ("dbtorch.cli.commands", "Show how old pipelines, sources and marts are."),
    "alerts": ("dbtorch.cli.alerts", "Try out, list and deliver alerts."),
    "freshness": ("dbtorch.cli.commands", "Check sources; exit with 3 when one is stale."),
    "graph": ("dbtorch.cli.commands", "Draw the graph as text, Mermaid or DOT."),
    "init": ("dbtorch.cli.commands", "Write a commented dbtorch.yml for this project."),
    "validate": ("dbtorch.cli.commands", "Check dbtorch.yml, meta.dbtorch and the graph."),
    "check-idempotent": ("dbtorch.cli.commands", "Run a step or model twice and compare."),
    "doctor": ("dbtorch.cli.commands", "Check the installation, and say what to do."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        command = getattr(module, name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from dbtorch.version import VERSION

    click.echo(f"dbtorch {VERSION}")
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
    """The orchestrator for teams whose world is dbt."""


def main(args: list[str] | None = None, early: Early | None = None) -> int:
    """Run the command; this is the one place that turns errors into exit codes.

    ``early`` is the run that is about to be, if it is one.
    """
    try:
        result: Any = cli.main(args=args, prog_name="dbtorch", standalone_mode=False, obj=early)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a program that SIGPIPE ends
    except BaseException as error:
        return _explain(error)


def _explain(error: BaseException) -> int:
    from dbtorch.cli.errors import Stopped, disk_trouble, expected_errors, told

    if isinstance(error, Stopped):
        return 128 + error.signum
    trouble = disk_trouble(error)
    if trouble is None and not isinstance(error, expected_errors()):
        raise error
    click.echo(f"Error: {trouble or told(error)}", err=True)
    return USAGE
