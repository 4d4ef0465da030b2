"""`dbtorch doctor`: looks at everything a run needs, and says what to do about what is missing."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.cli.engines import choose_engine
from dbtorch.cli.errors import OK, USAGE, UsageError, expected_errors
from dbtorch.cli.options import PROFILE_OPTIONS
from dbtorch.cli.project import Project, configured_store, open_project
from dbtorch.cli.render.words import many
from dbtorch.cli.run_options import Options
from dbtorch.core.config import EngineType
from dbtorch.core.history import Lease
from dbtorch.version import VERSION

#: Asks an interpreter which dbt it has; standard library only.
_INVENTORY = """
import importlib.metadata, json
found = {}
for dist in importlib.metadata.distributions():
    name = (dist.metadata["Name"] or "").lower()
    if name == "dbt-core" or name == "dbt" or name.startswith("dbt-"):
        found[name] = dist.version
print(json.dumps(found))
"""

_TESTED = re.compile(r"1\.(10|11|12)\.")

#: What dbt writes in front of a line.
_STAMP = re.compile(r"^\d\d:\d\d:\d\d  ")

#: How dbt 2 begins a line that says what went wrong.
_ERROR = re.compile(r"\[error\] (?:\[\w+ \(dbt\d+\)\]: )?|error: ")

#: The version in what dbt-core says of itself.
_VERSION = re.compile(r"\bCore: - installed: (\S+)")

#: Lines of `dbt debug` around what went wrong.
_EMPTY_WORDS = frozenset(
    {
        "Profile loading failed for the following reason:",
        "Runtime Error",
        "dbt was unable to connect to the specified database.",
        "The database returned the following error:",
        "The following error was returned:",
    }
)


_NO_LEASE = Lease(
    name="doctor",
    run_id="doctor",
    host="",
    pid=0,
    acquired_at=datetime.min.replace(tzinfo=UTC),
    expires_at=datetime.min.replace(tzinfo=UTC),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    found: str
    advice: str = ""


def doctor(options: Options, format: str) -> int:
    """Print every finding. Answers the exit code: 2 when something has to be done."""
    findings = []
    for finding in _examine(options):
        findings.append(finding)
        if format == "text":
            click.echo(_line(finding))
    if format == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    return OK if all(finding.ok for finding in findings) else USAGE


def _line(finding: Finding) -> str:
    mark = "ok  " if finding.ok else "FAIL"
    line = f"{mark}  {finding.check:<12} {finding.found}"
    return line if finding.ok else f"{line}\n                   -> {finding.advice}"


def _examine(options: Options) -> Iterator[Finding]:
    yield Finding("dbtorch", True, f"{VERSION} on Python {platform.python_version()}")
    try:
        project = open_project(options.project_dir)
    except expected_errors() as error:
        yield Finding("project", False, str(error), "mend that, then ask again")
        return
    where = project.config.origin.file
    yield Finding("project", True, f"{project.name} in {project.dir}")
    yield Finding("dbtorch.yml", True, f"{where}, valid" if where else "none; defaults apply")
    chosen = choose_engine(project)
    yield Finding("engine", True, f"{chosen.type}: {chosen.why}")
    if chosen.type is EngineType.PROCESS:
        finding = _executable(chosen.executable)
        yield finding
        command = [chosen.executable] if finding.ok else []
    else:
        inventory = yield from _interpreter(project)
        command = [project.python, "-c", "from dbt.cli.main import cli; cli()"] if inventory else []
    if command:
        yield _connection(project, options, command)
    history = _store(project, options)
    yield history
    yield _writable("permissions", project.dir)
    logs = _writable("logs", project.dir / ".dbtorch" / "runs")
    if logs.ok or history.ok:  # history and logs are in one folder: what is wrong is said once
        yield logs
    yield _writable("artifacts", project.dir / "target")


def _executable(path: str) -> Finding:
    """Which dbt the process engine calls."""
    advice = "name dbt with engine.executable in dbtorch.yml, or leave engine.type to `auto`"
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("dbt", False, f"{path} cannot be started: {_why(error)}", advice)
    words = " ".join((done.stdout + done.stderr).split())
    if done.returncode != 0:
        why = words[-200:] or f"it ends with exit code {done.returncode}, and without a word"
        return Finding("dbt", False, f"{path} does not say its version: {why}", advice)
    said = _VERSION.search(words)
    version = words[:100] if said is None else f"dbt-core {said[1]}"
    return Finding("dbt", True, f"{version}: {path}, {Entry.of(path).kind}")


def _interpreter(project: Project) -> Generator[Finding, None, bool]:
    """Answers whether dbt-core is there."""
    python = project.python
    try:
        done = subprocess.run(
            [python, "-c", _INVENTORY], capture_output=True, text=True, check=True, timeout=60
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield Finding(
            "interpreter",
            False,
            f"{python} cannot be asked: {_why(error)}",
            "let engine.python in dbtorch.yml name an interpreter that has dbt",
        )
        return False
    yield Finding("interpreter", True, python)
    core = found.get("dbt-core")
    if core is None:
        yield Finding(
            "dbt",
            False,
            f"{python} has no dbt-core",
            "install dbt-core and an adapter there, or let engine.python name one that has them",
        )
        return False
    tested = _TESTED.match(core) is not None
    adapters = [f"{name} {found[name]}" for name in sorted(found) if _is_adapter(name)]
    yield Finding(
        "dbt",
        tested,
        f"dbt-core {core}, {', '.join(adapters) or 'no adapter'}",
        "dbtorch is tested with dbt-core 1.10 to 1.12; install one of them",
    )
    return True


def _why(error: Exception) -> str:
    """Why an interpreter did not answer, without the program it was asked with."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with exit status {error.returncode}"
    return "it gives no answer"


def _is_adapter(name: str) -> bool:
    parts = ("core", "common", "adapters", "extractor", "protos", "semantic-interfaces")
    return name.startswith("dbt-") and name.removeprefix("dbt-") not in parts


def _connection(project: Project, options: Options, command: list[str]) -> Finding:
    """Let dbt connect with the profile, by its own `dbt debug`."""
    args = [*command, "debug", "--connection", "--project-dir", str(project.dir)]
    args += ["--no-use-colors", "--log-level-file", "error"]
    advice = "check profiles.yml and --target; `dbt debug` shows all of it"
    try:
        args += _profile_args(project, options)
        done = subprocess.run(
            args,
            env={**os.environ, "RUST_BACKTRACE": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    except UsageError as error:
        return Finding("connection", False, *str(error).split("; ", 1))
    except subprocess.TimeoutExpired:
        return Finding("connection", False, "no answer within 5 minutes", advice)
    said = (done.stdout + done.stderr).splitlines()
    lines = [_STAMP.sub("", line).strip() for line in said]
    if done.returncode == 0:
        adapter = next((x for x in lines if x.startswith("adapter type:")), "")  # dbt 2: none
        who = adapter.partition(": ")[2] or "the warehouse"
        return Finding("connection", True, f"{who} answers")
    text = _trouble(lines) or done.stderr.strip()[-500:] or "dbt debug failed"
    return Finding("connection", False, text, advice)


def _trouble(lines: list[str]) -> str:
    """What `dbt debug` says behind "1 check failed:", in dbt 2 from "[error]" on, in one line."""
    failed = (place for place, line in enumerate(lines) if "check failed" in line or _begins(line))
    start = next(failed, 0)
    lines = [_ERROR.sub("", line) for line in lines[start:] if "check failed" not in line]
    told = itertools.takewhile(lambda line: not line.startswith(("Check your", "====")), lines)
    return " ".join(line.removeprefix(">") for line in told if line and line not in _EMPTY_WORDS)


def _begins(line: str) -> bool:
    return _ERROR.match(line) is not None


def _profile_args(project: Project, options: Options) -> list[str]:
    kept = []
    words = list(options.dbt_args_for(project.config))
    for name in PROFILE_OPTIONS:
        if name in words:
            kept += [name, words[words.index(name) + 1]]
    if "--profiles-dir" not in kept:
        folder = project.profiles_dir(os.environ, Path.cwd())
        kept += [] if folder is None else ["--profiles-dir", str(folder)]
    return kept


def _store(project: Project, options: Options) -> Finding:
    from dbtorch.adapters.store import open_store
    from dbtorch.ports import StoreError

    url = configured_store(options.database_url, project.dir)
    default = project.dir / ".dbtorch" / "dbtorch.db"
    if url is None and not default.exists():
        folder = _writable("history", default.parent)
        none_yet = Finding("history", True, f"none yet; the first run makes {default}")
        return none_yet if folder.ok else folder
    try:
        store = open_store(url, project.dir, create=False)
        try:
            known = len(store.runs(limit=1000))
            store.release(_NO_LEASE)  # changes nothing, and fails where nothing may be changed
        finally:
            store.close()
    except StoreError as error:
        if "there is no run history yet" in str(error):
            return Finding("history", True, str(error))
        return Finding("history", False, str(error), "mend that, or name another --database-url")
    kind = "Postgres" if url and url.startswith("postgres") else url or str(default)
    runs = many(known, "run") if known < 1000 else "over 1000 runs"
    return Finding("history", True, f"{kind}, {runs}")


def _writable(check: str, folder: Path) -> Finding:
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding(check, True, f"{folder} can be written")
    if not nearest.is_dir():
        return Finding(check, False, f"{nearest} is no folder", "move it out of the way")
    advice = "give this user the right to, or set --target-path and --database-url elsewhere"
    return Finding(check, False, f"{nearest} cannot be written", advice)
