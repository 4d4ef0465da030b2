"""A copy of the zygote is what the same command would have been, as far as anybody can see."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.store import open_store
from tests.environments import cache
from tests.zygote import plugin
from tests.zygote.client import WANTED, Zygote

#: Tells everything of itself that it could have from who started it.
PROBE = """
import json, os, resource, signal, sys, threading
with open("/proc/self/stat") as file:
    stat = file.read().rpartition(")")[2].split()
def read(name):
    with open(f"/proc/self/{name}", "rb") as file:
        return os.fsdecode(file.read())
files = {}
for number in os.listdir("/proc/self/fd"):
    try:
        files[number] = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        pass
IMPORT
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "main": sorted(vars(sys.modules["__main__"])),
    "environ": dict(os.environ), "shown environ": read("environ"), "cmdline": read("cmdline"),
    "comm": read("comm"), "cwd": os.getcwd(), "parent": os.getppid(), "exe": os.readlink("/proc/self/exe"),
    "own session": os.getsid(0) == os.getpid(), "own group": os.getpgrp() == os.getpid(),
    "signals": {one.name: str(signal.getsignal(one)) for one in signal.valid_signals() - {32, 33} if one < 32},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "umask": os.umask(0),
    "limits": [resource.getrlimit(i) for i in range(10)], "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")), "files": files, "writes": sys.dont_write_bytecode,
    "encodings": [sys.stdout.encoding, sys.stderr.errors, sys.getfilesystemencoding()],
    "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
    "hash": hash("word") if os.environ.get("PYTHONHASHSEED") else 0,
    "policy": os.sched_getscheduler(0), "nice": os.nice(0), "executable": sys.executable,
    "flags": [flag for i, flag in enumerate(sys.flags) if i != 4],  # 4: "writes"
    "warnings": str(__import__("warnings").filters[-3:]),
}))
"""

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.skipif(
    not plugin.CAN or os.environ.get(WANTED) == "0", reason="there is no zygote here"
)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Does the same with a process as ever and with a copy."""

    def do(act: Callable[[], Any]) -> tuple[Any, Any]:
        made: list[int | None] = []
        real = Zygote.start

        def counted(self: Zygote, *args: Any, **more: Any) -> int | None:
            made.append(real(self, *args, **more))
            return made[-1]

        with monkeypatch.context() as patched:
            patched.setattr(Zygote, "start", lambda *_, **__: None)
            as_ever = act()
        with monkeypatch.context() as patched:
            patched.setattr(Zygote, "start", counted)
            copy = act()
        assert made, "nobody has asked the zygote"
        assert all(made), "the zygote has not made it"
        return as_ever, copy

    return do


def probed(folder: Path, *, session: bool, seed: str | None) -> Any:
    """What the probe tells; without a session of its own it need not import dbt, which takes a while."""
    program = PROBE.replace("IMPORT", "import dbt.cli.main" if session else "# dbt.cli.main")
    seeded = {} if seed is None else {"PYTHONHASHSEED": seed}
    kept = os.open(os.devnull, os.O_RDONLY)
    ours, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "word", "--option", "ü"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {"SOME": "öne", "PYTHONDONTWRITEBYTECODE": "1"} | seeded,
            start_new_session=session,
            pass_fds=(kept,),
        )
        os.close(theirs)
        with os.fdopen(ours, "rb") as file:
            said = json.loads(file.read())
        assert process.wait() == 0
    finally:
        os.close(kept)
    said["files"]["1"] = said["files"]["1"].partition(":")[0]  # each has a pipe of its own
    if not session:
        del said["warnings"]  # those of what it has not imported
    return said


@pytest.mark.parametrize(("session", "seed"), [(True, "0"), (False, None)])
def test_a_copy_cannot_be_told_from_a_process_that_was_executed(
    both: Any, tmp_path: Path, session: bool, seed: str | None
) -> None:
    as_ever, copy = both(lambda: probed(tmp_path, session=session, seed=seed))

    assert copy == as_ever
    assert copy["parent"] == os.getpid()
    assert copy["own session"] == session


ENDS = [
    ("pass", 0),
    ("sys.exit(3)", 3),
    ("sys.exit('a sentence')", 1),
    ("sys.exit('')", 1),
    ("sys.exit(True)", 1),
    ("sys.exit(-1)", 255),
    ("sys.exit(2**70)", 255),
    ("os.close(1)", 0),
    ("raise ValueError('a value')", 1),
    ("os._exit(7)", 7),
    ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    ("threading.Thread(target=lambda: print('later')).start()", 0),
    ("atexit.register(print, 'at last')", 0),
]


@pytest.mark.parametrize(("code", "status"), ENDS)
def test_a_copy_ends_as_the_code_in_it_does(both: Any, code: str, status: int) -> None:
    program = f"import atexit, os, signal, sys, threading\nprint(1)\n{code}  # dbt.cli.main"

    def act() -> tuple[int, bytes, bytes]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()[-1:]

    as_ever, copy = both(act)

    assert copy == as_ever
    assert copy[0] == status


def test_what_a_copy_holds_at_its_end_is_closed_as_ever(both: Any, tmp_path: Path) -> None:
    folders = iter((tmp_path / "as ever", tmp_path / "copy"))
    program = (
        "import duckdb; file = duckdb.connect('warehouse.duckdb')  # dbt.cli.main\n"
        "file.execute('create table one as select 1')"
    )

    def act() -> list[str]:
        folder = next(folders)
        folder.mkdir()
        subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
        return [path.name for path in folder.iterdir()]

    assert both(act) == (["warehouse.duckdb"], ["warehouse.duckdb"])  # and no log beside it


def test_what_dbt_works_out_of_its_own_code_is_there_in_a_copy_and_the_same(
    both: Any, tmp_path: Path
) -> None:
    """And nothing of dbtorch is, and a module that is in nobody's way is imported."""
    (tmp_path / "models").mkdir()
    (tmp_path / "mine.py").write_text("""
from dbt_common.behavior_flags import Behavior
flags = Behavior([{"name": "new", "default": False, "description": "it is new"}], {})
SOURCE = flags.new._behavior_change_event.flag_source
""")
    program = """
import json, os, pkgutil, sys
import dbt.cli.main, mine
from dbt.contracts.graph.nodes import ModelNode
from dbt.contracts.project import Project
from dbt_common.dataclass_schema import dbtClassMixin
from dbt_common.events.functions import env_scrubber
said = [env_scrubber("a hidden word")]
os.environ["DBT_ENV_SECRET_WORD"] = "hidden"
said.append(env_scrubber("a hidden word"))
print(json.dumps([
    dbtClassMixin.json_schema.cache_info().currsize, Project.json_schema(), ModelNode.json_schema(),
    mine.SOURCE, mine.__file__, said, [name for name in sys.modules if "dbtorch" in name],
    [one[1:] for one in pkgutil.iter_modules()],
]))
"""

    def act() -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True
        )
        found: list[Any] = json.loads(done.stdout)
        return found

    (none, *as_ever), (many, *copy) = both(act)

    assert none == 0 < many
    assert copy == as_ever
    found = ["mine", f"{tmp_path}/mine.py", ["a hidden word", "a ***** word"], []]
    assert copy[2:6] == found


BUILD = """
import json, pathlib, shutil, sys
import dbt.cli.main
from jinja2.parser import Parser
read = []
parse = Parser.parse
Parser.parse = lambda self: read.append(self) or parse(self)
done = dbt.cli.main.dbtRunner().invoke(["build", "--quiet", "--no-partial-parse"])
target = pathlib.Path("target")
found = [json.loads((target / f"{name}.json").read_text()) for name in ("manifest", "run_results")]
print(json.dumps([len(read), done.success, *found]))
shutil.rmtree(target)
pathlib.Path("it.duckdb").unlink()
"""

#: Macros of dbt's own that are called, one that is replaced, one of the project, and tests.
PROJECT = {
    "dbt_project.yml": "{name: shop, profile: shop, flags: {send_anonymous_usage_stats: false}}",
    "profiles.yml": "{shop: {target: dev, outputs: {dev: {type: duckdb, path: it.duckdb}}}}",
    "macros/mine.sql": """
        {% macro default__generate_alias_name(name, node) %}{{ node.name }}_{{ two() }}{% endmacro %}
        {% macro two() %}2{% endmacro %}
        {% test is_two(model, column_name) %}
            select 1 from {{ model }} where {{ column_name }} != {{ two() }}
        {% endtest %}
    """,
    "models/a.sql": "select {{ two() }} as id, cast('x' as {{ dbt.type_string() }}) as kind",
    "models/b.sql": "{{ config(materialized='incremental') }} select id from {{ ref('a') }}",
    "models/tests.yml": "models: [{name: b, columns: [{name: id, data_tests: [unique, is_two]}]}]",
}


def test_a_copy_builds_a_project_as_ever_without_reading_dbts_macros_again(
    both: Any, tmp_path: Path
) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    changes = re.compile(
        r'"(created_at|generated_at|\w*started_at|completed_at|invocation_id|execution_time|thread_id)": '
        r'("[^"]*"|[\d.e-]+)'
    )

    def act() -> tuple[int, bool, list[str]]:
        command = [sys.executable, "-c", BUILD]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
        read, success, *files = json.loads(said.stdout.splitlines()[-1])
        for run in files[1]["results"]:
            run["timing"] = len(run["timing"])
        files[1]["results"].sort(key=lambda result: result["unique_id"])
        del files[1]["elapsed_time"]
        texts = [json.dumps(file, sort_keys=True) for file in files]  # options are a set to dbt
        return read, success, [changes.sub(r'"\1"', text) for text in texts]

    as_ever, copy = both(act)

    assert as_ever[1]
    assert copy[2] == as_ever[2]
    assert copy[0] < 100 < 1000 < as_ever[0]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_copy_gets_the_signals_of_its_id_and_of_its_group(both: Any, sent: int) -> None:
    program = "import sys, time; print(1, flush=True); sys.stdin.read()  # dbt.cli.main"

    def act() -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            os.killpg(process.pid, sent)
            return process.wait()

    as_ever, copy = both(act)

    assert copy == as_ever == -sent


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_copy_leads_its_group_as_soon_as_it_has_a_number(both: Any, sent: int) -> None:
    program = "import sys; sys.stdin.read()  # dbt.cli.main"

    def act() -> set[int]:
        ends = set()
        for _ in range(20):
            process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, start_new_session=True
            )
            with process:
                os.killpg(process.pid, sent)
                ends.add(process.wait())
        return ends

    assert both(act) == ({-sent}, {-sent})


def test_what_may_be_otherwise_in_a_copy_starts_as_ever(tmp_path: Path) -> None:
    started = Zygote.start
    zygote = plugin.zygote()
    assert zygote is not None

    def pid(*words: str, **more: Any) -> int | None:
        given = {"executable": sys.executable, "cwd": None, "environ": os.environ, "files": {}}
        return started(zygote, [sys.executable, *words], **{**given, **more})

    module, package = tmp_path / "module", tmp_path / "package"
    (package / "jinja2").mkdir(parents=True)
    module.mkdir()
    (module / "yaml.py").write_text("")
    (package / "jinja2/__init__.py").write_text("")
    dbt = ("-c", "import dbt.cli.main")
    assert pid(*dbt, environ={**os.environ, "PYTHONPATH": "/elsewhere"}) is None
    assert pid(*dbt, cwd=str(module)) is None
    assert pid(*dbt, cwd=str(package)) is None
    assert pid(*dbt, executable="/usr/bin/python3") is None
    assert pid("-c", "pass") is None
    assert pid("-X", "dev", *dbt) is None


def test_a_dbtorch_that_is_a_copy_is_what_it_would_have_been(both: Any, tmp_path: Path) -> None:
    for name in ("dbt_project.yml", "profiles.yml"):
        (tmp_path / name).write_text(PROJECT[name])
    open_store(None, tmp_path).close()
    command = [sys.executable, "-m", "dbtorch"]

    def act() -> list[Any]:
        refused = subprocess.run(
            [*command, "rnu"], cwd=tmp_path, capture_output=True, check=False, text=True
        )
        with subprocess.Popen(
            [*command, "ui", "--port", "0"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            env=os.environ | {"SOME": "öne"},
            start_new_session=True,
        ) as ui:
            assert ui.stdout is not None
            said = ui.stdout.readline()
            shown = Path(f"/proc/{ui.pid}")
            found = [(shown / name).read_bytes() for name in ("comm", "environ", "cmdline")]
            ui.send_signal(signal.SIGINT)
            said += ui.stdout.read()
        said = re.sub(rb"#token=\S+", b"#token=SECRET", re.sub(rb":\d+/", b":PORT/", said))
        return [refused.returncode, refused.stdout, refused.stderr, said, *found, ui.returncode]

    as_ever, copy = both(act)

    assert copy == as_ever
    assert copy[0] == 2
    assert b"PORT" in copy[3]


def test_a_module_that_is_in_the_way_of_a_dbtorch_is_so_for_a_copy(
    both: Any, tmp_path: Path
) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('mine')")

    def act() -> tuple[int, str]:
        command = [sys.executable, "-m", "dbtorch", "plan"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
        return done.returncode, done.stderr

    as_ever, copy = both(act)

    assert copy == as_ever
    assert "mine" in copy[1]


def test_a_dbtorch_has_a_zygote_of_the_dbt_that_its_project_names(tmp_path: Path) -> None:
    other = str(cache() / "dbt-x" / "bin" / "python")
    (tmp_path / "dbtorch.yml").write_text(f"engine: {{type: session, python: {other}}}\n")

    assert plugin._driven(["python", "-m", "dbtorch", "run"], str(tmp_path)) == other
    words = ["python", "-m", "dbtorch", "run", "--project-dir", tmp_path.name]
    assert plugin._driven(words, str(tmp_path.parent)) == other
    assert not plugin._driven(words[:4], str(tmp_path.parent))
