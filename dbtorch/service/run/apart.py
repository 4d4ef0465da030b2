"""Commands in processes of their own, which outlive whoever asked for them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.processes import subreaper
from dbtorch.core.errors import StoreError, UsageError
from dbtorch.service.project.known_secrets import scrubber_of_environment
from dbtorch.service.project.options import RunOptions

#: Seconds between two looks whether it has begun, and those after which it is waited for no more.
_LOOK_EVERY, _PATIENCE = 0.2, 120.0

#: Bytes of the end of what it has said that are looked at.
_END = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Starts commands of dbtorch about one project."""

    project_dir: Path
    environ: Mapping[str, str]
    program: tuple[str, ...] = (sys.executable, "-m", "dbtorch")

    def start(self, words: Sequence[str], begun: Callable[[], bool]) -> str:
        """Start a command, and wait until what it is for has begun; answers that in a sentence.

        Raises `UsageError` with its last words where it ends without that.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*self.program, *words, "--project-dir", str(self.project_dir)],
                env=dict(self.environ),
                cwd=self.project_dir,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what ends us does not end it
            )
            subreaper.own(process.pid)  # our own end leaves it alone
            until = time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < until:
                if _is(begun):
                    break
                time.sleep(_LOOK_EVERY)
            code = process.poll()
            if code is None:
                threading.Thread(target=_bury, args=(process,), daemon=True).start()
                return f"{words[0]} goes on" if _is(begun) else f"{words[0]} is getting ready"
            subreaper.disown(process.pid)
            if code == 0 or _is(begun):
                return f"{words[0]} has ended"
            size = said.seek(0, 2)
            said.seek(max(0, size - _END))
            lines = said.read().decode(errors="replace").strip().splitlines()
        why = scrubber_of_environment()(lines[-1]) if lines else f"exit code {code}"
        raise UsageError(f"{words[0]} did not begin: {why.removeprefix('Error: ')}")


def _bury(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    subreaper.disown(process.pid)


def apart(options: RunOptions, project_dir: Path) -> Apart:
    """One for a project with its history and artifacts where ``options`` say they are."""
    said = {
        "DBTORCH_DATABASE_URL": options.database_url,
        "DBTORCH_ARTIFACTS_URL": options.artifacts_url,
    }
    environ = {**options.environ, **{name: url for name, url in said.items() if url}}
    environ.pop("DBTORCH_UI_TOKEN", None)  # no step has any business with it
    return Apart(project_dir=project_dir, environ=environ)


def _is(begun: Callable[[], bool]) -> bool:
    try:
        return begun()
    except StoreError:  # it does not answer at this moment
        return False
