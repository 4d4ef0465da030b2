"""The page of commands lists every option of `dbt build` that `dbtorch run` does not take."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click

from dbtorch.cli.main import cli
from tests.pages import PAGES

#: Old names, the version, and what is about a click command line as such.
OF_NO_ACCOUNT = re.compile(r"--(deprecated-.*|version)|-\w")


def flags_of_dbt() -> Iterator[str]:
    """Options of `dbt build`, read from its source: to import dbt takes seconds."""
    spec = find_spec("dbt")
    assert spec is not None
    (folder,) = [
        Path(one) / "cli"
        for one in spec.submodule_search_locations or ()
        if (Path(one) / "cli").is_dir()
    ]
    main = ast.parse((folder / "main.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for function in main.body
        if isinstance(function, ast.FunctionDef) and function.name in ("build", "global_flags")
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "p"
    }
    for node in ast.parse((folder / "params.py").read_text(encoding="utf-8")).body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and _name(node) in used:
            words = [str(one.value) for one in call.args if isinstance(one, ast.Constant)]
            yield from (flag for word in words for flag in word.split("/") if flag.startswith("-"))


def _name(node: ast.stmt) -> str:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return next((one.id for one in targets if isinstance(one, ast.Name)), "")


def test_what_is_not_taken_is_on_the_page() -> None:
    (sentence,) = re.findall(
        r"does not take those.*?:\s(.*?)\.\n", PAGES["docs/command-line.md"].read_text(), re.DOTALL
    )
    listed = set(re.findall(r"`(--[\w-]+)`", sentence))
    run = cli.get_command(click.Context(cli), "run")
    assert run is not None
    taken = {name for param in run.params for name in (*param.opts, *param.secondary_opts)}
    flags = {*flags_of_dbt()}
    assert len(flags) > 80
    assert "--full-refresh" in flags & taken
    assert not listed & taken
    missing = {name for name in flags - taken if not OF_NO_ACCOUNT.fullmatch(name)}
    assert {name.replace("--no-", "--") for name in missing} - taken == listed
