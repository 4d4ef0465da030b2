"""What steps name that is not there: found without running, or importing, any code of theirs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from dbtorch.adapters.template import run_values, unknown
from dbtorch.core.config import Config
from dbtorch.core.text.nearest import did_you_mean

#: Seconds that looking for modules may take.
_PATIENCE = 60.0

#: Answers where modules are, without importing their packages. On every Python from 3.9.
_FINDER = """
import json, os, sys
from importlib.machinery import PathFinder
sys.path[0] = os.getcwd()
found = {}
for name in json.load(sys.stdin):
    path, spec = None, None
    for end in range(1, name.count(".") + 2):
        spec = PathFinder.find_spec(".".join(name.split(".")[:end]), path)
        path = spec.submodule_search_locations if spec else None
        if spec is None or (path is None and end <= name.count(".")):
            spec = None
            break
    builtin = name in sys.builtin_module_names
    found[name] = None if spec is None and not builtin else (spec and spec.origin) or ""
print(json.dumps(found))
"""

#: What makes a line of shell mean more than its words.
_SHELL = frozenset("|&;<>()$`\\*?[]{}~#\n'\"=")

_INTERPRETERS = frozenset({"python", "python3", "bash", "sh", "zsh", "node", "ruby", "perl"})
_SCRIPTS = frozenset({".py", ".sh", ".bash", ".rb", ".js", ".pl", ".r"})

_TARGET = ("name", "type", "database", "schema", "path")


def broken_promises(config: Config, *, python: str, project_dir: Path) -> list[str]:
    """A sentence for each thing that a step names and that is not there."""
    found = [
        *_functions(config, python, project_dir),
        *_scripts(config, project_dir),
        *_templates(config),
        *_strangers(config),
    ]
    return list(dict.fromkeys(found))


# -------------------------------------------------------------------- functions


def _functions(config: Config, python: str, project_dir: Path) -> Iterator[str]:
    wanted = {
        spec.name: spec.action
        for spec in config.steps.values()
        if spec.type == "python" and isinstance(spec.action, str) and "{{" not in spec.action
    }
    if not wanted:
        return
    places = _places({text.partition(":")[0] for text in wanted.values()}, python, project_dir)
    for name, text in wanted.items():
        spec, (module, _, function) = config.steps[name], text.partition(":")
        if module not in places or "PYTHONPATH" in spec.env:
            continue  # nobody can tell
        origin = places[module]
        if origin is None:
            yield spec.origin.says(
                f"step {name}: there is no module {module}; it would be"
                f" {module.replace('.', '/')}.py in the project"
            )
            continue
        known = _defined(Path(origin)) if origin.endswith(".py") else None
        first = function.split(".")[0]
        if known is not None and first not in known:
            public = [one for one in known if not one.startswith("_")]
            file = os.path.relpath(origin, project_dir)
            shown = origin if file.startswith("..") else file
            yield spec.origin.says(
                f"step {name}: {shown} has no function {first!r}{did_you_mean(first, public)}"
            )


def _places(modules: Iterable[str], python: str, project_dir: Path) -> Mapping[str, str | None]:
    """Where each module is; None where there is none. Nothing where the interpreter cannot tell."""
    try:
        done = subprocess.run(
            [python, "-c", _FINDER],
            input=json.dumps(sorted(modules)),
            cwd=project_dir,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        found: dict[str, str | None] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}  # `doctor` says what is wrong with the interpreter
    return found


def _defined(path: Path) -> set[str] | None:
    """Names of a module; None where they cannot be told without running it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return None  # the step will say so
    names = set(_bound(tree.body))
    return None if names & {"*", "__getattr__"} else names


def _bound(body: Iterable[ast.stmt]) -> Iterator[str]:
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield one.name
            continue
        if isinstance(one, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in one.names)
            continue
        for node in ast.walk(one):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.stmt) and node is not one:
                yield from _bound([node])


# -------------------------------------------------------------------- scripts


def _scripts(config: Config, project_dir: Path) -> Iterator[str]:
    for spec in config.steps.values():
        if spec.type != "command":
            continue
        for word in _named_files(spec.action):
            if not (project_dir / word).exists():
                yield spec.origin.says(
                    f"step {spec.name}: there is no file {word}; a command starts"
                    " in the project's folder"
                )


def _named_files(action: Any) -> Iterator[str]:
    """The script of a command, where its words alone say which file that is."""
    if isinstance(action, str):
        if _SHELL & set(action):
            return
        words = shlex.split(action)
    else:
        words = [str(part) for part in action]
    if not words or any("{{" in word or "{%" in word for word in words):
        return
    first, *rest = words
    if "/" in first:
        yield first
    elif PurePath(first).name in _INTERPRETERS and rest and _is_script(rest[0]):
        yield rest[0]


def _is_script(word: str) -> bool:
    return not word.startswith("-") and PurePath(word).suffix.lower() in _SCRIPTS


# -------------------------------------------------------------------- templates


def _templates(config: Config) -> Iterator[str]:
    if not config.steps:
        return
    for spec in config.steps.values():
        known = {"run": _RUN}
        if not spec.on_engine:  # there the others are dbt's, and hold more
            outputs, params = tuple(config.steps), tuple(spec.params)
            known |= {"target": _TARGET, "outputs": outputs, "params": params}
        texts = [spec.action, spec.when, dict(spec.env), dict(spec.params)]
        for text in _texts(texts):
            for name, attribute in _attributes(text):
                if attribute not in known.get(name, (attribute,)) and not hasattr({}, attribute):
                    hint = did_you_mean(attribute, known[name])
                    there = f" (there is: {', '.join(known[name]) or 'nothing'})"
                    yield spec.origin.says(
                        f"step {spec.name}: there is no {name}.{attribute}{hint or there}"
                    )


def _strangers(config: Config) -> Iterator[str]:
    """Names that templates begin with and nothing has: ``{{ rum.id }}``."""
    known = ("run", "target", "outputs", "params", "env_var", "var")
    for spec in config.steps.values():
        if spec.on_engine or spec.type not in ("python", "command", "http", "dbt_cloud"):
            continue  # others have names of their own
        action = spec.action
        if isinstance(action, Mapping):  # what is asked of an answer has more names
            action = {key: one for key, one in action.items() if key not in ("poll", "fail_when")}
        for text in _texts([action, spec.when, dict(spec.env), dict(spec.params)]):
            if _OPTIONAL.search(text):
                continue
            for name in unknown(text, known):
                hint = did_you_mean(name, known) or f" (there is: {', '.join(known)})"
                yield spec.origin.says(f"step {spec.name}: a template names {name!r}{hint}")


#: A template that says itself what happens where a name is not there.
_OPTIONAL = re.compile(r"\b(?:default|defined|d)\b")

#: What templates may know of a run, also what is empty in some.
_RUN = tuple(inspect.signature(run_values).parameters)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    """What a template asks names for, ``run.id``; nothing of names that it sets itself."""
    from jinja2 import Environment, TemplateError, nodes

    try:
        tree = Environment(extensions=["jinja2.ext.do"], autoescape=True).parse(text)
    except TemplateError:
        return  # dbt may know more than jinja; and a broken one is said when it is rendered
    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    for got in tree.find_all(nodes.Getattr):
        if isinstance(got.node, nodes.Name) and got.node.name not in own:
            yield got.node.name, got.attr
    for item in tree.find_all(nodes.Getitem):
        key = item.arg.value if isinstance(item.arg, nodes.Const) else None
        if isinstance(key, str) and isinstance(item.node, nodes.Name) and item.node.name not in own:
            yield item.node.name, key
