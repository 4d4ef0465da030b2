"""Refuses words that only the makers understand, in the docs and in what dbtorch prints.

python .ci/words.py

`CONTRIBUTING.md` and `docs/contributing/` are for contributors, and have words of their own.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pages import PAGES, ROOT, prose

#: What is refused, as a regular expression, and what to write instead.
WORDS = {
    r"\baloud\b|\bquietly\b": "say what is sent, and to whom",
    r"\banew\b": "again",
    r"\bcomplain(s|ed)?\b": "fails, or warns",
    r"\be-mails?\b": "email",
    r"\b(gulp|teller|head start|courier)s?\b|\bstretch(es)?\b": "nothing: it is internal",
    r"\bhang(s|ing)? up\b|\bhung up\b": "close",
    r"\bin hand\b": "under way",
    r"\b(is|are|was|were|be) told\b": "gets an alert; or name who says what",
    r"\bmend(s|ed|ing)?\b": "fix, or correct",
    r"\bset aside\b|\bstand(s|ing)? back\b": "wait",
    r"\bshadow(s)?\b": "copy of the project",
    r"\bso long (after|into|before|as|that)\b": "how long; for this time",
    r"\bsupervisors?\b": "the process of the run",
    r"\b(stands?|stood) for\b": "covers; or matches, or means",
    r"\b(held|holds?) back\b": "blocked",
    r"\bgone on with\b": "continued",
    r"\btime-outs?\b": "timeout",
    r"\bnode that nobody\b|\bso it is\b": "say who or what",
}
_ALL = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in WORDS.items()]
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def found(text: str) -> Iterator[str]:
    """What is wrong with a text, one sentence for each word."""
    for pattern, instead in _ALL:
        for match in pattern.finditer(text):
            around = " ".join(text[max(0, match.start() - 40) : match.end() + 30].split())
            yield f'"{match[0]}" in "...{around}...": {instead}'


def of_pages() -> Iterator[str]:
    """The same of every page for users, code left out."""
    for name in PAGES:
        if "contributing" not in name.lower():
            text = re.sub(r"`[^`]*`", "``", prose(name))
            yield from (f"{name}: {one}" for one in found(text))


def trees() -> dict[Path, ast.Module]:
    """What every module parses to."""
    files = sorted((ROOT / "dbtorch").rglob("*.py"))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}


def of_program(trees: Mapping[Path, ast.Module]) -> Iterator[str]:
    """The same of every text in the code that has a space, docstrings and help left out."""
    for path, tree in trees.items():
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and id(node) not in docstrings and " " in text:
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield from (f"{where}: {one}" for one in found(text))


if __name__ == "__main__":
    sys.exit("\n".join([*of_pages(), *of_program(trees())]) or None)
