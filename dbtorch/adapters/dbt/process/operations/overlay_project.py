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

from dbtorch.adapters.dbt.process.operations.hooks import HookCode, calls_of, macro_of
from dbtorch.adapters.dbt.process.operations.operation import MACROS as OPERATIONS
from dbtorch.adapters.dbt.process.project.target import read_project
from dbtorch.adapters.template import render
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.errors import EngineError

#: Folder of a shadow for the macros that its hooks have become, and for ours.
MACROS = "dbtorch_hooks"

#: Folder of a shadow for packages, where one of them has hooks.
PACKAGES = "dbtorch_packages"

#: What a shadow has no use for.
_LEFT_OUT = frozenset({"dbt_project.yml", ".git", ".dbtorch", "logs", "target"})


class OverlayProject:
    """A folder of links to everything in a project but its dbt_project.yml."""

    def __init__(
        self,
        folder: Path,
        project_dir: Path,
        hooks: Iterable[HookCode],
        environ: Mapping[str, str],
    ) -> None:
        """Make it anew; ``environ`` is what dbt sees.

        Raises `EngineError` for a dbt_project.yml that cannot be read.
        """
        self.dir = folder
        self._hooks = tuple(hooks)
        shutil.rmtree(folder, ignore_errors=True)
        project = read_project(project_dir)
        name = str(project.get("name"))
        foreign = {hook.package for hook in self._hooks} - {name}
        packages = _packages(project, project_dir, environ)
        if foreign:  # in a folder of their own: the project's may be within one that is a link
            project = {**project, "packages-install-path": PACKAGES}
        elif not packages.resolve().is_relative_to(project_dir.resolve()):
            project = {**project, "packages-install-path": str(packages.resolve())}
        self._make(folder, project_dir, project, name)
        if foreign:
            self._add_packages(folder / PACKAGES, packages, foreign)
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
    ) -> None:
        folder.mkdir(parents=True)
        left_out = {*_LEFT_OUT, str(project.get("target-path") or "target")}
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


def _packages(project: Mapping[str, Any], project_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where packages are installed. Raises `EngineError` for a template that cannot be read."""
    said = project.get("packages-install-path") or "dbt_packages"
    try:
        return project_dir / str(render(said, env=environ, vars={}, run={}, outputs={}))
    except TemplateError as error:
        raise EngineError(f"dbt_project.yml: packages-install-path: {error}") from error
