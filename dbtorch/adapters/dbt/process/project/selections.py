"""What the selections come to that steps are wired by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.generation import generation_of
from dbtorch.adapters.dbt.process.project.listing import ids_of, list_words
from dbtorch.core.errors import EngineError

#: Selections of one name, and of one table of a source.
_NAME, _TABLE = re.compile(r"[A-Za-z_]\w*"), re.compile(r"source:(\w+)\.(\w+)")

_TESTS = ("test", "unit_test")


class Selections:
    """Answers what a selection comes to: tests only if there is nothing else.

    What can mean one thing only is answered from the manifest. For everything else dbt is asked,
    which parses the project each time.
    """

    def __init__(self, executable: Executable, words: DbtArgs, folder: Path, manifest: Any) -> None:
        """``folder`` is for what a dbt writes that is asked, beside others that are at work."""
        self._executable = executable
        self._words = words
        self._folder = folder
        self._manifest = manifest

    def resolve(self, texts: Sequence[str]) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
        """What each comes to; and for those that dbt cannot read, what it says of them."""
        resolved: dict[str, frozenset[str]] = {}
        unreadable: dict[str, str] = {}

        def resolve(place: int, text: str) -> None:
            try:
                resolved[text] = named(text, self._manifest) or self._ask(text, place)
            except EngineError as error:
                unreadable[text] = " ".join(str(error).removeprefix("Runtime Error").split())

        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(resolve, range(len(texts)), texts))
        return resolved, unreadable

    def _ask(self, text: str, place: int) -> frozenset[str]:
        kind, _, name = text.partition(":")
        chosen = ("--selector", name) if kind == "selector" else ("--select", text)
        found = ids_of(self._executable.ask(list_words((*self._apart(place), *chosen))))
        tests = {id for id in found if id.startswith(tuple(f"{kind}." for kind in _TESTS))}
        return frozenset(found - tests or tests)

    def _apart(self, place: int) -> tuple[str, ...]:
        """What lets dbt leave alone what others write, or read, at the same time."""
        version = str((self._manifest.get("metadata") or {}).get("dbt_version"))
        if generation_of(version).parses_into_target:
            return (*self._words.common(), "--no-write-json")
        folder = str(self._folder / str(place))
        return self._words.with_values({"--target-path": folder}).common()


def named(text: str, manifest: Mapping[str, Any]) -> frozenset[str] | None:
    """What a selection of one name, or of one table of a source, comes to.

    None where dbt is to be asked: where it is neither, means nothing, or may mean more than one.
    """
    if table := _TABLE.fullmatch(text):
        found = [
            id
            for id, source in (manifest.get("sources") or {}).items()
            if (source.get("source_name"), source.get("name")) == table.groups()
        ]
        return frozenset(found) if len(found) == 1 else None
    if not _NAME.fullmatch(text):
        return None
    meant = [one for one in _selectable(manifest) if text in _parts(one)]
    if len(meant) != 1 or meant[0].get("name") != text or meant[0].get("version") is not None:
        return None
    return frozenset({str(meant[0]["unique_id"])})


def _selectable(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Everything that a name can select, but tests."""
    for kind in ("nodes", "exposures", "metrics", "semantic_models", "saved_queries", "functions"):
        for one in (manifest.get(kind) or {}).values():
            if one.get("resource_type") not in _TESTS:
                yield one


def _parts(one: Mapping[str, Any]) -> Iterator[str]:
    """The package, the folders and the name, each of which selects it."""
    yield str(one.get("name"))
    for part in one.get("fqn") or ():
        yield from str(part).split(".")
