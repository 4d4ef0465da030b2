"""How a dbt is started, by what its file is."""

import os
import sys

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.generation import DBT_2, JSON_LINES

#: What pip and uv write for dbt-core's command, after the first line.
CORE = "import sys\nfrom dbt.cli.main import cli\nif __name__ == '__main__':\n    sys.exit(cli())\n"


def an_executable(folder, content):
    path = folder / "dbt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("first", "python"),
    [
        ("#!/opt/env/bin/python\n", ["/opt/env/bin/python"]),
        ("#!/opt/env/bin/python3.12 -sE\n", ["/opt/env/bin/python3.12", "-sE"]),
        ("#! /opt/env/bin/python\n", ["/opt/env/bin/python"]),
        ("#!/usr/bin/env python3\n", ["python3"]),
        # where the interpreter's path is longer than a first line may be, or has spaces
        ("#!/bin/sh\n'''exec' /a/long/path/python \"$0\" \"$@\"\n' '''\n", ["/a/long/path/python"]),
        ("#!/bin/sh\n'''exec' \"/my env/python\" \"$0\" \"$@\"\n' '''\n", ["/my env/python"]),
    ],
)
def test_the_script_of_dbt_core_is_run_by_its_own_interpreter(tmp_path, first, python):
    path = an_executable(tmp_path, first + CORE)
    entry = Launcher.of(path)
    assert list(entry.command[: len(python)]) == python
    assert entry.command[len(python)] == "-c"
    assert entry.command[-1] == entry.executable == path
    assert list(entry.python) == python
    assert entry.command[-2].endswith(".main(patches=True)")
    assert Launcher.of(path, patches=False).command[-2].endswith(".main(patches=False)")
    assert "json" not in entry.talk
    assert (entry.waits, entry.reads_first) == (True, False)
    assert entry.kind == "dbt-core's own script"


@pytest.mark.parametrize(
    "content",
    [
        '#!/bin/sh\nexec docker run dbt "$@"\n',
        "#!/bin/sh\n# calls dbt.cli.main in a container\nexec docker run dbt\n",
        "#!/opt/env/bin/python\nfrom somewhere.else_ import cli\ncli()\n",
        "#!/usr/bin/env bash\n" + CORE,
        "#!\n" + CORE,
        "#!/usr/bin/env\n" + CORE,
    ],
)
def test_of_any_other_script_nothing_is_known(tmp_path, content):
    path = an_executable(tmp_path, content)
    entry = Launcher.of(path)
    assert entry == Launcher(executable=path, command=(path,), talk=JSON_LINES)
    assert (entry.waits, entry.reads_first) == (False, False)
    assert entry.kind == "of which nothing is known"


def test_a_binary_is_dbt_2(tmp_path):
    path = an_executable(tmp_path, b"\x7fELF\x02")
    entry = Launcher.of(path)
    assert (entry.command, entry.talk) == ((path,), DBT_2.talk)
    assert "--no-use-colors" not in entry.talk  # it warns of what it no longer knows
    assert (entry.waits, entry.reads_first) == (True, True)
    assert entry.kind == "a binary, so dbt 2"


def test_what_is_not_there_is_said_when_it_is_started(tmp_path):
    assert Launcher.of("no-such-dbt") == Launcher(
        executable="no-such-dbt", command=("no-such-dbt",)
    )


def test_a_name_is_looked_up_as_a_shell_does(tmp_path, monkeypatch):
    path = an_executable(tmp_path, f"#!{sys.executable}\n{CORE}")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    entry = Launcher.of("dbt")
    assert (entry.executable, entry.command[-1]) == ("dbt", path)
