"""What changed since production and dbt's ``state:modified`` does not see: variables, large seeds.

The manifest of production says nothing of either, so git is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.project_code import read_code
from dbtorch.adapters.git import changed_files, commits_before, file_at
from dbtorch.core.ci.changes import Reason, Why, reached
from dbtorch.core.ci.code import Code
from dbtorch.core.model.graph import Kind
from dbtorch.service.production.find import FoundState
from dbtorch.service.project.project import Project

#: Bytes from which dbt knows a seed by its path alone.
_LARGE = 1024 * 1024

_PROJECT = "dbt_project.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Changes of a project since a state."""

    vars: frozenset[str] = frozenset()  # names of variables in dbt_project.yml
    seeds: frozenset[str] = frozenset()  # files, from the project's folder
    note: str = ""  # what nobody can tell

    def selected(self, base: FoundState) -> Iterator[str]:
        """Selections of what they change: what is new since ``base`` is selected anyway."""
        yield from (f"file:{Path(path).name}+" for path in sorted(self.seeds))
        if self.vars:
            before = read_code(base.folder / "manifest.json")
            yield from sorted({f"{before.resources[id].name}+" for id in self._reading(before)})

    def reasons(self, now: Code) -> Mapping[str, tuple[Reason, ...]]:
        """Why they are built, by id."""
        large = {
            one.id: (Reason(kind=Why.BODY),)
            for one in now.resources.values()
            if one.kind is Kind.SEED and one.path in self.seeds
        }
        read = self._reading(now)
        return {**large, **{id: (Reason(kind=Why.VAR, names=names),) for id, names in read.items()}}

    def _reading(self, code: Code) -> dict[str, tuple[str, ...]]:
        """What reads a variable that changed, itself or by a macro, and the names of these."""
        if not self.vars:
            return {}
        listed = "|".join(map(re.escape, sorted(self.vars)))
        pattern = re.compile(rf"""\bvar\(\s*['"]({listed})['"]""")
        by_macro = {id: {*pattern.findall(one.code)} for id, one in code.macros.items()}
        found = {}
        for id, one in code.resources.items():
            names = {*pattern.findall(one.code), *pattern.findall(str(dict(one.config)))}
            for macro in reached(one.macros, code.macros):
                names |= by_macro.get(macro, set())
            if names:
                found[id] = tuple(sorted(names))
        return found


def find_unseen(project: Project, base: FoundState | None, branch: str | None) -> Unseen:
    """What changed since a state; of a bare folder, since the commit that the branch began at."""
    if base is None:
        return Unseen()
    commit = base.commit
    if not commit and branch:
        commit = next(iter(commits_before(project.dir, branch)), "")
    changed = changed_files(project.dir, commit) if commit else None
    large = {path for path in _csv(project.dir) if (project.dir / path).stat().st_size > _LARGE}
    has_vars = bool(_vars((project.dir / _PROJECT).read_text(encoding="utf-8")))
    if changed is not None:
        before = file_at(project.dir, commit, _PROJECT) if _PROJECT in changed else None
        return Unseen(
            vars=frozenset(_different(before, project) if before is not None else ()),
            seeds=frozenset(large & changed),
        )
    unknown = [
        *(["large seeds are built"] if large else []),
        *(["a change of variables in dbt_project.yml is not seen"] if has_vars else []),
    ]
    note = f"git does not know which commit production was built from, so {' and '.join(unknown)}"
    return Unseen(seeds=frozenset(large), note=note if unknown else "")


def _csv(folder: Path) -> Iterator[str]:
    """CSV files of the project, but for what dbt has written or installed, and hidden folders."""
    for path in folder.rglob("*.csv"):
        inside = path.relative_to(folder)
        if inside.parts[0] not in ("target", "logs") and not any(
            part.startswith(".") or part in ("dbt_packages", "node_modules")
            for part in inside.parts
        ):
            yield inside.as_posix()


def _different(before: str, project: Project) -> Iterator[str]:
    """Names of the variables that are not what they were."""
    now = (project.dir / _PROJECT).read_text(encoding="utf-8")
    one, other = (_vars(text) for text in (before, now))
    yield from (name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _vars(text: str) -> dict[str, Any]:
    """Variables by name; those of one package alone count as well. None of what is no YAML."""
    import yaml

    try:
        said = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return {}
    given = said.get("vars") if isinstance(said, dict) else None
    found: dict[str, Any] = {}
    for name, value in (given if isinstance(given, dict) else {}).items():
        found[str(name)] = value
        for inner, told in value.items() if isinstance(value, dict) else ():
            found[str(inner)] = (found.get(str(inner)), told)
    return found
