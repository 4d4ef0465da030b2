"""How a dbt executable is started and made to tell its events, by what its file is.

Neither generation is asked: that would take as long as a build of a small project.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.dbt.process.generation import DBT_1, DBT_2, JSON_LINES, DbtGeneration
from dbtorch.adapters.dbt.script import interpreter_of, is_script

#: The teller prints such lines instead of dbt (`dbtorch_worker.event_printer`).
_TOLD = ("--log-level", "none", "--no-use-colors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """A way to start dbt."""

    executable: str  # as somebody would call it
    command: tuple[str, ...]  # what is started, before dbt's own words
    talk: tuple[str, ...] = JSON_LINES  # words that make it tell its events
    generation: DbtGeneration | None = None  # None where nothing is known
    python: tuple[str, ...] = ()  # the interpreter of dbt-core's own script, with its options

    @property
    def waits(self) -> bool:
        """Whether it can be started before it is known what it builds."""
        return self.generation is not None

    @property
    def reads_first(self) -> bool:
        """Whether one that waits has read the project by then."""
        return self.generation is not None and self.generation.reads_first

    @property
    def kind(self) -> str:
        """What is known of it, for people."""
        if self.generation is None:
            return "of which nothing is known"
        return "dbt-core's own script" if self.generation is DBT_1 else "a binary, so dbt 2"

    @classmethod
    def of(cls, executable: str, *, patches: bool = True) -> Launcher:
        """What can be seen of an executable.

        - A binary is dbt 2: it waits for its state once it has read the project.
        - The script of dbt-core is run by its own interpreter, with our teller around it, which
          imports dbt and then waits.
        - Of anything else, say a script around a container, nothing is known.

        ``patches`` says whether that of dbt-core does its work for each node with fewer detours.
        """
        found = shutil.which(executable)
        if found is not None and not is_script(Path(found)):
            command = (executable,)
            return cls(executable=executable, command=command, talk=DBT_2.talk, generation=DBT_2)
        python = () if found is None else interpreter_of(Path(found))
        if found is None or not python:
            return cls(executable=executable, command=(executable,))
        words = bootstrap("event_printer", f"main(patches={patches})")
        return cls(
            executable=executable,
            command=(*python, *words, found),
            talk=_TOLD,
            generation=DBT_1,
            python=python,
        )
