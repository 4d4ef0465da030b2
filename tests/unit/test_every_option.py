"""No option of any command is heard and forgotten, and none is asked for by a name it has not."""

import ast
import inspect
import textwrap

import click
import pytest

from dbtorch.cli import options
from dbtorch.cli.main import COMMANDS, cli

#: Of a function that goes through all of ``given``.
EVERYTHING = "*"


def every_command():
    for name in COMMANDS:
        command = cli.get_command(None, name)
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield name, command
            for one in command.commands.values():
                yield f"{name} {one.name}", one
        else:
            yield name, command


def read_by(function):
    """Names that a function reads of what was given: its own parameters, and keys of ``given``."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found |= {node.slice.value} if _is_given(node.value) else set()
        elif isinstance(node, ast.comprehension) and _is_given(node.iter):
            found.add(EVERYTHING)
        elif isinstance(node, ast.Call) and _is_given(getattr(node.func, "value", None)):
            found.add(node.args[0].value)
        elif isinstance(node, ast.Call):
            found |= read_of_given(node, inspect.unwrap(function).__globals__)
    return found


def read_of_given(call, known):
    """What a function reads that is handed all of ``given``."""
    name = getattr(call.func, "id", "")
    if not any(map(_is_given, call.args)):
        return set()
    if name == "dbt_args":
        return {option.key for option in options.DBT_OPTIONS}
    ours = name in ("options_of", "shown") or name.startswith("_")
    return read_by(known[name]) if ours and name in known else set()


def _is_given(node):
    return isinstance(node, ast.Name) and node.id == "given"


@pytest.mark.parametrize(("name", "command"), [*every_command()])
def test_each_option_is_read(name, command):
    known = {param.name for param in command.params if param.expose_value}
    read = read_by(command.callback)
    unread = set() if EVERYTHING in read else known - read
    assert not unread, f"dbtorch {name} does nothing with {unread}"


@pytest.mark.parametrize(("name", "command"), [*every_command()])
def test_what_a_command_reads_by_itself_is_an_option_of_it(name, command):
    tree = ast.parse(textwrap.dedent(inspect.getsource(command.callback)))
    keys = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_given(getattr(node.func, "value", None))
    } | {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and _is_given(node.value)
        and isinstance(node.slice, ast.Constant)
    }
    missing = keys - {param.name for param in command.params}
    assert not missing, f"dbtorch {name} reads {missing}, which no option of it is called"
