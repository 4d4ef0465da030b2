"""What the documentation shows is there: YAML is valid, commands and options exist, Python compiles."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import click
import pytest
import yaml

import dbtorch
from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.adapters.config.schema import ROOT as DBTORCH_YML
from dbtorch.adapters.steps.catalog import check
from dbtorch.cli.main import COMMANDS, cli, grouped
from dbtorch.cli.options import Helped
from dbtorch.core.errors import ConfigError
from dbtorch.service.project.dbt_options import DBT_OPTIONS
from tests.pages import PAGES, ROOT, Block, commands, every, prose

#: A first line that says of what file a block is a part.
NAMED = re.compile(r"# ([\w./-]+\.ya?ml)\b")
OURS = {key.name for key in DBTORCH_YML.keys}
OF_DBT = {name for option in DBT_OPTIONS for name in option.names}


@pytest.mark.parametrize("block", every("yaml"), ids=str)
def test_yaml_is_valid(block: Block, tmp_path: Path) -> None:
    named = NAMED.match(block.text)
    said = yaml.safe_load(block.text)
    if named and Path(named[1]).name != "dbtorch.yml" and not {"models", "sources"} & said.keys():
        return  # a file of another program
    if set(said) <= OURS and not {"models", "sources"} & said.keys():
        is_a_dbtorch_yml(block.text, tmp_path)
        return
    metas = list(every_meta(said))
    assert metas or named, f"{block}: neither dbtorch.yml nor dbt's YAML with meta.dbtorch"
    for meta in metas:
        settings_of(meta, node="it", file=str(block), project_dir=tmp_path)


def is_a_dbtorch_yml(text: str, folder: Path) -> None:
    whole = text if "version:" in text else f"version: 1\n{text}"
    (folder / "dbtorch.yml").write_text(whole)
    for step in load(folder, environ={}).steps.values():
        if step.type != "sql":  # which an engine executes
            check(step)


def every_meta(said: Any) -> Iterator[dict[str, Any]]:
    """Every `meta` with a part for dbtorch, however deep."""
    if isinstance(said, dict):
        for key, value in said.items():
            if str(key).lstrip("+") == "meta" and "dbtorch" in value:
                yield value
            yield from every_meta(value)
    elif isinstance(said, list):
        for value in said:
            yield from every_meta(value)


@pytest.mark.parametrize("block", every("python"), ids=str)
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    for node in ast.walk(parsed(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dbtorch"):
            known = names_in(str(node.module))
            assert [name.name for name in node.names if name.name not in known] == []
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "dbtorch":
            assert hasattr(dbtorch, node.attr), f"{block}: dbtorch.{node.attr}"


def names_in(module: str) -> set[str]:
    """What a module has; of what needs another orchestrator, what its text defines."""
    if not module.startswith("dbtorch.integrations."):
        return set(dir(importlib.import_module(module)))
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def parsed(code: str) -> ast.Module:
    """Python as it is, or a part of a function below a comment that says of which file."""
    return ast.parse(dedent(re.sub(r"^# .*\n", "", code)))


def typed(page: str) -> Iterator[str]:
    """Every command line of dbtorch on a page, in blocks and in sentences."""
    yield from (command.line for command in commands(page))
    for block in every("sh", "bash", "text", "yaml", "ini", ""):
        if block.page == page:
            yield from re.findall(r"^ *(?:\$ |- run: )?(dbtorch [^#\n]+)", block.text, re.MULTILINE)
    yield from (" ".join(code.split()) for code in re.findall(r"`(dbtorch [^`]+)`", prose(page)))


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    for line in (line for line in typed(page) if "dbtorch " in line):
        for part in re.split(r"\s*(?:&&|\|\||\||;)\s*", line):
            words = shlex.split(re.sub(r"['\\]", " ", part), comments=True)
            if words[:1] == ["dbtorch"]:
                assert not missing(words[1:]), f"{page}: `{line}`: {missing(words[1:])}"


def missing(words: list[str]) -> list[str]:
    """Which of a command line's words dbtorch does not know."""
    command: click.Command | None = cli
    context = click.Context(cli)
    words = list(words)
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        name = words.pop(0)
        if (command := command.get_command(context, name)) is None:
            return [name]
    assert command is not None
    known = {"--help", "-h"}
    for param in command.params:
        known |= {*param.opts, *param.secondary_opts}
    options = [
        re.split("[=,.…\\]/]", word.lstrip("["))[0] for word in words if re.match(r"\[?-", word)
    ]
    return [option for option in options if option.strip("-") and option not in known]


def helped(group: click.Group = cli) -> Iterator[Helped]:
    """Every command, those of a group after it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert isinstance(command, Helped), f"{name}: its class is Helped, or one of those"
        yield command
        if isinstance(command, click.Group):
            yield from helped(command)


@pytest.mark.parametrize("command", [*helped()], ids=lambda command: command.name)
def test_help_has_a_sentence_examples_and_a_page(command: Helped) -> None:
    assert re.match(r"[A-Z].*\.$", (command.help or "").split("\n\n")[0], re.DOTALL)
    assert command.examples
    assert [line for line, _ in command.examples if missing(shlex.split(line)[1:])] == []
    assert f"docs/{command.page}.md" in PAGES
    said = command.get_help(click.Context(command, info_name=command.name))
    assert said.endswith(f"Documentation:\n  dbtorch docs {command.page}")


def test_the_help_of_all_has_groups_examples_and_a_page() -> None:
    said = cli.get_help(click.Context(cli, info_name="dbtorch"))
    listed = [name for names in grouped().values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)
    assert [heading for heading in grouped() if f"\n{heading}:\n" not in said] == []
    assert [name for name in COMMANDS if not re.search(rf"^  {name}  ", said, re.MULTILINE)] == []
    examples = re.findall(r"^  (dbtorch \S.*?)(?:  |$)", said, re.MULTILINE)
    assert len(examples) >= 4
    assert [line for line in examples if missing(shlex.split(line)[1:])] == []
    assert "dbtorch docs quickstart" in said


def test_options_of_a_long_list_have_headings() -> None:
    for command in helped():
        said = command.get_help(click.Context(command, info_name=command.name))
        count = len(re.findall(r"^  -", said, re.MULTILINE))
        assert ("\nWhere:\n" in said) == (count >= 15), command.name
        rest = said.partition("\nMore of dbt's options:\n")[2].partition("\n\n")[0]
        names = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", rest, re.MULTILINE))
        assert names <= OF_DBT, command.name


def test_no_sentence_of_the_program_names_a_file_of_the_documentation() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "dbtorch").rglob("*.py")}
    said = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for path, text in texts.items()
        if "md" in text  # to parse all of them takes seconds
        for node in ast.walk(without_docstrings(ast.parse(text)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    named = re.compile(r"(?<!\]\()\b(?:docs/[\w-]+|README|CONTRIBUTING|CHANGELOG)\.md")
    assert [text for text in said if named.search(text)] == []


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass()
    return tree


def test_a_page_that_a_sentence_of_the_program_names_is_there() -> None:
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dbtorch").rglob("*.py"))
    said = said.replace("'", '"')
    named = re.findall(r"dbtorch docs ([a-z-]+)|address\(\"([a-z-]+)\"\)", said)
    named = {"".join(one) for one in named}
    assert {f"docs/{page}.md" for page in named} <= PAGES.keys()
    assert {"configuration"} <= named


def test_the_page_of_commands_is_that_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "command_line_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    assert missing(["run", "--select", "a", "--nope"]) == ["--nope"]
    assert missing(["build"]) == ["build"]
    assert missing(["alerts", "nope"]) == ["nope"]
    with pytest.raises(ConfigError, match="stepz"):
        is_a_dbtorch_yml("stepz: {}\n", tmp_path)
