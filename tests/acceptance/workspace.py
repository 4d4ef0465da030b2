"""A user's shell: a folder with a dbt project in it, and the installed command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb

from dbtorch.cli.text.run import run_json_text
from dbtorch.cli.text.runs import runs_json
from dbtorch.core.errors import DbtorchError
from dbtorch.service.history.run import show_run
from dbtorch.service.history.runs import list_runs
from dbtorch.service.history.store import open_history
from tests.engines import SESSION_1_11, Driven
from tests.waiting import PATIENCE, eventually

#: How a user starts dbtorch.
COMMAND = (sys.executable, "-m", "dbtorch")

#: How a user starts dbt.
DBT = (sys.executable, "-m", "dbt.cli.main")

_TRACEBACK = "Traceback (most recent call last)"

#: Finds the processes of one workspace, however they were started.
_MARK = "ACCEPTANCE_WORKSPACE"

_DBT_PROJECT = """
    name: shop
    version: "1.0"
    profile: shop
    flags: {send_anonymous_usage_stats: false}
"""

_PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {type: duckdb, path: warehouse.duckdb, threads: 2}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Everything it said."""
        return self.out + self.err

    def json(self) -> Any:
        """Its output, which is JSON and nothing else."""
        return json.loads(self.out)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of a kind in the output of ``--log-format json``, where every line is one."""
        found = [json.loads(line) for line in self.out.splitlines()]
        return [event for event in found if event["event"] == kind]


class Workspace:
    """A folder with a dbt project that builds in a DuckDB file beside it."""

    def __init__(
        self,
        dir: Path,
        files: Mapping[str, str] = {},
        *,
        bare: bool = False,
        driven: Driven = SESSION_1_11,
    ) -> None:
        """Write ``files``, and what every project needs unless the workspace is to be ``bare``."""
        self.patience = PATIENCE  # seconds that a command may take
        self.dir = dir
        self.driven = driven
        self._dbt = driven.make()
        self.home = dir.parent / f"{dir.name}-home"
        self.env: dict[str, str] = {_MARK: uuid.uuid4().hex, **self._dbt.env}
        self.home.mkdir(parents=True, exist_ok=True)
        dir.mkdir(parents=True, exist_ok=True)
        if not bare:
            self.write({"dbt_project.yml": _DBT_PROJECT, "profiles.yml": _PROFILES})
            if driven is not SESSION_1_11:
                self.write({"dbtorch.yml": ""})
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, named relative to the project; their indentation does not matter.

        dbtorch.yml names the engine as well, where it is another than it would be anyway.
        """
        for name, text in files.items():
            path = self.dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            chosen = self._engine() if path.name == "dbtorch.yml" else ""
            path.write_text(dedent(text).lstrip("\n") + chosen)

    def _engine(self) -> str:
        if self.driven is SESSION_1_11:
            return ""
        return f"\nengine: {self.driven.spec(self._dbt)}\n"

    # ---------------------------------------------------------------- commands

    def dbtorch(
        self,
        *args: str,
        code: int = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] = {},
        wrap: Sequence[str] = (),
    ) -> Done:
        """Run a command to its end; it must exit with ``code`` and show no traceback."""
        ended = subprocess.run(
            [*wrap, *COMMAND, *args],
            cwd=cwd or self.dir,
            env=self.environ(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )
        done = Done(ended.returncode, ended.stdout, ended.stderr)
        assert _TRACEBACK not in done.all, done.all
        assert done.code == code, f"exit {done.code}, not {code}\n{done.all}"
        return done

    def refused(self, *args: str, env: Mapping[str, str] = {}) -> str:
        """Run a command that must be refused: exit 2, one message, nothing executed.

        Answers the message. What the history may have is a run that could not begin.
        """
        before = self.runs()
        done = self.dbtorch(*args, code=2, env=env)
        new = [run for run in self.runs() if run not in before]
        begun = [run for run in new if run["state"] != "failed" or any(run["counts"].values())]
        assert not begun, "a run has begun"
        assert done.err.count("Error: ") == 1, done.all
        assert not done.out, done.out
        return done.err.removeprefix("Error: ").strip()

    @contextmanager
    def started(
        self, *args: str, env: Mapping[str, str] = {}, command: Sequence[str] = COMMAND
    ) -> Iterator[Running]:
        """A command that runs in the background; nothing of it is left behind."""
        out = self.home / f"out-{uuid.uuid4().hex[:8]}"
        with out.open("wb") as stream:
            process = subprocess.Popen(
                [*command, *args],
                cwd=self.dir,
                env=self.environ(env),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Running(process, out)
        finally:
            self.lose_power()
            process.wait()

    def environ(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        """A user's environment: nothing the caller set for dbt, dbtorch or Postgres."""
        foreign = ("DBT_", "DBTORCH_", "PG", "PYTEST_", "COVERAGE_", "VIRTUAL_ENV")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        path = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"  # our dbt is the first
        mine = {"HOME": str(self.home), "TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1"}
        mine["PATH"] = path
        return {**kept, **mine, **self.env, **more}

    def processes(self) -> set[int]:
        """Every process that was started in this workspace and still lives."""
        mark = f"{_MARK}={self.env[_MARK]}".encode()
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes()
            except OSError:  # gone, or somebody else's
                continue
            if mark in environ.split(b"\0"):
                found.add(int(folder.name))
        return found

    def dbts(self) -> list[int]:
        """The processes that have dbt open: the session's worker, or each dbt that is called."""
        mine = self._dbt.executable if self.driven.is_process else Path("dbtorch_worker")
        return sorted(pid for pid in self.processes() if os.fsencode(mine) in _words(pid))

    def lose_power(self) -> None:
        """End every process at once, as a machine does that is gone: none sees another end."""
        stopped: set[int] = set()
        while new := self.processes() - stopped:  # one may have begun another meanwhile
            for pid in new:
                _send(pid, signal.SIGSTOP)
            stopped |= new
        for pid in stopped:
            _send(pid, signal.SIGKILL)

    def is_quiet(self) -> bool:
        """Whether every process has gone, a moment after the command ended."""
        return eventually(lambda: not self.processes())

    # ---------------------------------------------------------------- what is left of runs

    def runs(self) -> list[dict[str, Any]]:
        """What `dbtorch runs` lists; nothing while there is no history to read.

        Read in this process, as in `show`: starting a command costs more than that.
        """
        if not (self.dir / ".dbtorch" / "dbtorch.db").is_file():
            return []
        try:
            with open_history(str(self.dir), None, environ=self.environ()) as store:
                listed: list[dict[str, Any]] = json.loads(runs_json(list_runs(store, limit=20)))
        except DbtorchError:
            return []
        return listed

    def show(
        self, run: str = "latest", *, cwd: Path | None = None, env: Mapping[str, str] = {}
    ) -> Shown:
        """What `dbtorch show` says of a run."""
        folder = str(cwd or self.dir)
        with open_history(folder, None, environ=self.environ(env)) as store:
            return Shown(json.loads(run_json_text(show_run(store, run))))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse, once nobody has its file: a dbt that was killed may just be ending."""
        found: list[list[tuple[Any, ...]]] = []

        def ask() -> bool:
            try:
                with duckdb.connect(str(self.dir / "warehouse.duckdb"), read_only=True) as one:
                    found.append(one.execute(sql).fetchall())
            except duckdb.IOException as error:
                if "Conflicting lock" not in str(error):
                    raise
            return bool(found)

        assert eventually(ask), "somebody keeps the warehouse's file"
        return found[0]

    def results(self, target_path: str = "target") -> dict[str, str]:
        """dbt's run_results.json: status by the node's id."""
        content = json.loads((self.dir / target_path / "run_results.json").read_text())
        return {result["unique_id"]: result["status"] for result in content["results"]}

    def lines(self, name: str) -> list[str]:
        """Lines of a file; none when it is not there."""
        path = self.dir / name
        return path.read_text().splitlines() if path.exists() else []


class Shown:
    """A run as `dbtorch show --format json` tells it; nodes by their names."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self.id: str = said["run_id"]
        self.state: str = said["state"]
        self.nodes = {node["name"]: node for node in said["nodes"]}
        self.states = {name: node["state"] for name, node in self.nodes.items()}
        self.tries = {name: len(node["attempts"]) for name, node in self.nodes.items()}

    def names(self, state: str) -> set[str]:
        """Nodes in a state."""
        return {name for name, found in self.states.items() if found == state}


class Running:
    """A command in the background."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path) -> None:
        self.process = process
        self._out = out

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        """What it has said so far, on stdout and stderr."""
        return self._out.read_text(errors="replace")

    def wait_for(self, *words: str) -> str:
        """Wait for a line with all these words; answers it."""

        def line() -> str:
            lines = self.out.splitlines()
            return next((x for x in lines if all(word in x for word in words)), "")

        def there() -> bool:
            return bool(line()) or self.process.poll() is not None

        assert eventually(there), f"{words} did not come:\n{self.out}"
        assert line(), f"it ended without {words}:\n{self.out}"
        return line()

    def wait_for_node(self, id: str, state: str = "running") -> None:
        """Wait until a node is in a state, with ``--log-format json``."""
        self.wait_for(f'"node_id": "{id}"', f'"state": "{state}"')

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, *, seconds: float = PATIENCE) -> Done:
        """Wait for its end; it must show no traceback."""
        code = self.process.wait(seconds)
        assert _TRACEBACK not in self.out, self.out
        return Done(code, self.out, "")


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
