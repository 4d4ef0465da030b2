"""On-run hooks apart from nodes: run once at each end, whatever the batches in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.generation import generation_of
from dbtorch.adapters.dbt.process.operations.hooks import HookCode, HookContext, run_hooks
from dbtorch.adapters.dbt.process.operations.overlay_project import OverlayProject
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import State
from dbtorch.ports.engine import Selected

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.project.selected import Opened


class IsolatedHooks:
    """The hooks of a project, and the shadow in which its nodes are executed without them."""

    def __init__(
        self, project: Opened, words: DbtArgs, folder: Path, environ: Mapping[str, str]
    ) -> None:
        """Make the shadow in ``folder``. Raises `EngineError`, `OSError`."""
        selected = project.selected
        moved = moved_file(selected)
        if moved:
            raise EngineError(
                f"the project has on-run hooks, and a DuckDB file with a relative path ({moved});"
                " with the process engine and dbt 1 make it absolute, or take the session engine"
            )
        self.blocks = project.blocks
        self._hooks = project.hooks
        self._context = HookContext(project.manifest, selected.selected)
        self._own_manifest = selected.target_path / "manifest.json"
        self._manifest = project.manifest_path.read_bytes()
        self._shadow = OverlayProject(
            folder / "project", selected.project_dir, self._hooks, environ
        )
        self._shadow.tell(self._context.told({}))
        self.shadow = self._shadow.dir
        keeps = generation_of(selected.dbt_version).parses_into_target  # not what the project has
        self.target_path = folder / "target" if keeps else selected.target_path
        self.words = words.with_values(
            {"--project-dir": str(self._shadow.dir), "--target-path": str(self.target_path)}
        )

    def run(
        self,
        side: str,
        executable: Executable,
        results: Mapping[str, Mapping[str, Any]],
        *,
        rules: Sequence[Rule],
        began: Callable[[HookCode], None],
        ended: Callable[[HookCode, Outcome], None],
    ) -> Outcome:
        """Run the hooks of a side, which know ``results``, and tell of each."""
        if not any(hook.side == side for hook in self._hooks):
            return Outcome(state=State.SUCCESS)
        self._shadow.tell(self._context.told(results))
        words = self.words.common()
        return run_hooks(
            side, self._hooks, executable, words, rules=rules, began=began, ended=ended
        )

    def restore(self) -> None:
        """Leave the manifest of the project, and not that of its shadow. Raises `OSError`."""
        self._own_manifest.write_bytes(self._manifest)


def moved_file(selected: Selected) -> str:
    """Path of a database file that is another one in the project's shadow; empty for none."""
    path = str(selected.target.get("path") or "")
    moves = generation_of(selected.dbt_version).changes_folder
    is_file = selected.exclusive_file is not None
    return path if moves and is_file and not Path(path).is_absolute() else ""
