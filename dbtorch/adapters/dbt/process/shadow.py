"""A project's shadow: its files under another name, with macros of ours and without on-run hooks.

Every dbt runs the hooks, and neither generation has a switch for them; a run of several batches is
to run them once. `dbt run-operation` executes macros of a project, and of nothing else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dbtorch.adapters.dbt.process.hooks import HookCode, calls_of, macro_of
from dbtorch.adapters.dbt.process.operation import MACROS as OPERATIONS
from dbtorch.adapters.dbt.process.target import read_project

#: Folder of a shadow for the macros that its hooks have become, and for ours.
MACROS = "dbtorch_hooks"

#: What a shadow has no use for.
_LEFT_OUT = frozenset({"dbt_project.yml", ".git", ".dbtorch", "logs", "target"})


class Shadow:
    """A folder of links to everything in a project but its dbt_project.yml."""

    def __init__(self, folder: Path, project_dir: Path, hooks: Iterable[HookCode]) -> None:
        """Make it anew. Raises `EngineError` for a dbt_project.yml that cannot be read."""
        self.dir = folder
        self._hooks = tuple(hooks)
        shutil.rmtree(folder, ignore_errors=True)
        project = read_project(project_dir)
        name = str(project.get("name"))
        packages = str(project.get("packages-install-path") or "dbt_packages")
        foreign = {hook.package for hook in self._hooks} - {name}
        self._make(folder, project_dir, project, name, leave_out={packages} if foreign else set())
        if foreign:
            self._add_packages(folder / packages, project_dir / packages, foreign)
        (folder / MACROS / "operations.sql").write_text(OPERATIONS, encoding="utf-8")

    def tell(self, results: str) -> None:
        """Write what calls the hooks; ``results`` is JSON that end hooks know by that name."""
        text = calls_of(self._hooks, results)
        (self.dir / MACROS / "calls.sql").write_text(text, encoding="utf-8")

    def _make(
        self,
        folder: Path,
        origin: Path,
        project: Mapping[str, Any],
        name: str,
        *,
        leave_out: Iterable[str] = (),
    ) -> None:
        folder.mkdir(parents=True)
        left_out = {*_LEFT_OUT, str(project.get("target-path") or "target"), *leave_out}
        for entry in os.scandir(origin):
            if entry.name not in left_out:
                (folder / entry.name).symlink_to(Path(entry.path).absolute())
        without = {key: value for key, value in project.items() if not key.startswith("on-run-")}
        without["macro-paths"] = [*(project.get("macro-paths") or ["macros"]), MACROS]
        text = yaml.safe_dump(without, sort_keys=False, allow_unicode=True)
        (folder / "dbt_project.yml").write_text(text, encoding="utf-8")
        (folder / MACROS).mkdir()
        mine = [macro_of(hook) for hook in self._hooks if hook.package == name]
        (folder / MACROS / "hooks.sql").write_text("\n".join(mine), encoding="utf-8")

    def _add_packages(self, folder: Path, origin: Path, foreign: set[str]) -> None:
        folder.mkdir(parents=True)
        for entry in os.scandir(origin):
            path = Path(entry.path)
            project = read_project(path) if (path / "dbt_project.yml").is_file() else {}
            name = str(project.get("name"))
            if name in foreign:
                self._make(folder / entry.name, path, project, name)
            else:
                (folder / entry.name).symlink_to(path.absolute())
