"""On-run hooks apart from nodes: run once at each end, whatever the batches in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.process.executable import Executable
from dbtorch.adapters.dbt.process.hooks import HookCode, HookContext, run_hooks
from dbtorch.adapters.dbt.process.shadow import Shadow
from dbtorch.adapters.dbt.process.words import Words
from dbtorch.core.events import Outcome
from dbtorch.core.evidence import Rule
from dbtorch.core.state import State
from dbtorch.ports import EngineError, Selected

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.opening import Opened


class HooksApart:
    """The hooks of a project, and the shadow in which its nodes are executed without them."""

    def __init__(self, project: Opened, words: Words, folder: Path) -> None:
        """Make the shadow in ``folder``. Raises `EngineError`, `OSError`."""
        selected = project.selected
        is_dbt_1 = selected.dbt_version.startswith("1.")
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
        self._shadow = Shadow(folder / "project", selected.project_dir, self._hooks)
        self._shadow.tell(self._context.told({}))
        self.shadow = self._shadow.dir
        # dbt 1 keeps what it has parsed there, which is not that of the project
        self.target_path = folder / "target" if is_dbt_1 else selected.target_path
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
    """Path of a database file that is another one in the project's shadow; empty for none.

    dbt 1 counts it from the project's folder, dbt 2 from where it was started.
    """
    path = str(selected.target.get("path") or "")
    is_dbt_1 = selected.dbt_version.startswith("1.")
    is_file = selected.exclusive_file is not None
    return path if is_dbt_1 and is_file and not Path(path).is_absolute() else ""
