"""What deploy/Dockerfile promises, kept without a container engine.

Its very ENTRYPOINT, with its environment and no other, runs in namespaces of its own: as PID 1 and
user 10001, on a root that can only be read, without a home and without a network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
CONTAINER = Path(__file__).with_name("container.sh")

_NEEDED = ("unshare", "setpriv", "mount")


def _may_isolate() -> bool:
    if os.geteuid() != 0 or any(shutil.which(name) is None for name in _NEEDED):
        return False
    tried = subprocess.run(["unshare", "-m", "-n", "-p", "-f", "true"], check=False)
    return tried.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or not _may_isolate(),
        reason="needs namespaces of Linux, which only root may make",
    ),
]

_FILES = {
    "dbt_project.yml": "name: shop\nprofile: shop\n",
    "profiles.yml": """
        shop:
          target: dev
          outputs:
            dev: &dev {type: duckdb, path: /tmp/shop.duckdb, threads: 2}
            other: *dev
    """,
    "models/orders.sql": "select 1 as id",
    "models/totals.sql": "select count(*) as n from {{ ref('orders') }}",
    "dbtorch.yml": """
        version: 1
        steps:
          export:
            command: [sh, -c, "touch /tmp/begun; test -e /tmp/go || exec sleep 600"]
            after: [totals]
        defaults: {retry: {retries: 0}}
        pipelines: {orders: {select: orders}}
    """,
}


def directives(name: str) -> dict[str, str]:
    """The instructions of a Dockerfile's last stage, each with what was said last."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM"))
    found: dict[str, str] = {}
    for line in lines[last:]:
        word, _, rest = line.partition(" ")
        found[word] = f"{found[word]} {rest}" if word == "ENV" and word in found else rest
    return found


class Image:
    """An image with a project in it, and the /tmp that its containers share."""

    def __init__(self, folder: Path) -> None:
        self.project, self.tmp = folder / "project", folder / "tmp"
        for name, text in _FILES.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        said = directives("Dockerfile")
        self.environ = dict(word.split("=", 1) for word in said["ENV"].split())
        self.entrypoint: list[str] = json.loads(said["ENTRYPOINT"])
        assert said["USER"] == "10001:10001"
        assert said["WORKDIR"] == "/srv/project"

    def _command(self, words: tuple[str, ...], environ: Mapping[str, str]) -> list[str]:
        environ = {**self.environ, **environ}
        kept = dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix))
        return [
            *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
            *("sh", str(CONTAINER), str(self.tmp), str(self.project), sys.prefix, *kept, "--"),
            *("env", "-i", *(f"{name}={value}" for name, value in environ.items())),
            *(*self.entrypoint, *words),
        ]

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Start a container and wait for its end."""
        return subprocess.run(
            self._command(words, environ),
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start a container that is killed when it does not end."""
        with subprocess.Popen(
            self._command(words, {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def files(self) -> set[Path]:
        """Everything in the project."""
        return set(self.project.rglob("*"))


def stop(process: subprocess.Popen[str]) -> None:
    """Do what an engine does to end a container: SIGTERM for its PID 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    os.kill(int(children), signal.SIGTERM)


def test_a_container_is_stopped_and_another_one_goes_on(tmp_path: Path) -> None:
    """Nothing is written beside /tmp; the same --run-id finishes what was begun."""
    image = Image(tmp_path)
    before = image.files()
    with image.started("run", "--run-id", "job-1") as process:
        wait_for((image.tmp / "begun").exists)
        stop(process)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM, said
    shown = image.run("show", "job-1", "--format", "json")
    states = {one["id"]: one["state"] for one in json.loads(shown.stdout)["nodes"]}
    assert states["model.shop.totals"] == "success"
    assert states["step.export"] == "cancelled"

    (image.tmp / "go").touch()
    again = image.run("run", "--run-id", "job-1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 done before" in again.stdout
    done = image.run("run", "--run-id", "job-1")
    assert (done.returncode, "nothing to retry" in done.stdout) == (0, True)
    other = image.run("run", "--run-id", "job-1", "--select", "orders")
    assert (other.returncode, "goes on as it was started" in other.stderr) == (2, True)
    other = image.run("run", "--run-id", "job-1", DBT_TARGET="other")
    assert (other.returncode, "goes on as it was started" in other.stderr) == (2, True)
    bad = image.run("run", "--run-id", "../job")
    assert (bad.returncode, "is no run id" in bad.stderr) == (2, True)
    assert image.files() == before
    assert not (tmp_path / "tmp" / ".dbt").exists()
