"""Planted secrets, a run that fails in every way, and a search through all that was written."""

from __future__ import annotations

import http.server
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from tests.acceptance.workspace import PATIENCE, Workspace, eventually
from tests.postgres import with_option


def planted(name: str) -> str:
    """A value that is nowhere else."""
    return f"{name}-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Secrets:
    """One for each place that people keep them in."""

    token: str = field(default_factory=lambda: planted("token"))  # DBT_ENV_SECRET_TOKEN
    password: str = field(default_factory=lambda: planted("pass"))  # in profiles.yml, by env_var
    written: str = field(default_factory=lambda: planted("written"))  # in profiles.yml, as it is
    url: str = field(default_factory=lambda: planted("url"))  # in --database-url
    header: str = field(default_factory=lambda: planted("header"))  # of an http step, by env_var
    auth: str = field(default_factory=lambda: planted("auth"))  # of another http step
    env: str = field(default_factory=lambda: planted("env"))  # in a step's env
    param: str = field(default_factory=lambda: planted("param"))  # in a step's params

    def all(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def environ(self) -> dict[str, str]:
        """What the user exports."""
        return {
            "DBT_ENV_SECRET_TOKEN": self.token,
            "DBT_ENV_SECRET_PASSWORD": self.password,
            "HEADER": self.header,
            "AUTH": self.auth,
            "STEP_ENV": self.env,
            "PARAM": self.param,
        }


STEPS = """
    defaults: {{retry: {{retries: 1, delay: 0s}}}}
    steps:
      echoes:
        command: "printf '%s' \\"$DBT_ENV_SECRET_TOKEN\\" | cut -c 1-20 | tr -d '\\\\n'; sleep 0.2;
          printf '%s\\\\n' \\"$DBT_ENV_SECRET_TOKEN\\" | cut -c 21-; echo \\"$MINE\\" >&2; exit 1"
        env: {{MINE: "{{{{ env_var('DBT_ENV_SECRET_TOKEN') }}}}", QUIET: "{{{{ env_var('STEP_ENV') }}}}"}}
      answers: {{python: "tasks:answers"}}
      raises:
        python: "tasks:raises"
        params: {{token: "{{{{ env_var('PARAM') }}}}"}}
        env: {{QUIET: "{{{{ env_var('STEP_ENV') }}}}"}}
      calls:
        http:
          url: "http://127.0.0.1:{port}/fails?key={{{{ env_var('HEADER') }}}}"
          headers: {{Authorization: "Bearer {{{{ env_var('HEADER') }}}}"}}
          json: {{secret: "{{{{ params.token }}}}"}}
        params: {{token: "{{{{ env_var('PARAM') }}}}"}}
      logs_in:
        http: {{url: "http://127.0.0.1:{port}/echo", auth: "me:{{{{ env_var('AUTH') }}}}"}}
      nowhere:
        http: {{url: "http://me:{{{{ env_var('AUTH') }}}}@127.0.0.1:1/"}}
      broken_template:
        command: "echo {{{{ env_var('DBT_ENV_SECRET_TOKEN') / 2 }}}}"
      no_program:
        command: ["/nowhere/{{{{ env_var('DBT_ENV_SECRET_TOKEN') }}}}"]
      told:
        command: "test -n \\"$DBTORCH_CONTEXT\\""
        params: {{token: "{{{{ env_var('PARAM') }}}}"}}
"""

TASKS = """
    import os, sys

    def answers():
        print("the token is", os.environ["DBT_ENV_SECRET_TOKEN"])
        return {"token": os.environ["DBT_ENV_SECRET_TOKEN"], "rows": 1}

    def raises(context):
        assert context.params["token"] and os.environ["QUIET"]
        token = os.environ["DBT_ENV_SECRET_TOKEN"]
        try:
            raise ConnectionError(f"cannot reach https://me:{token}@example.com/?token={token}")
        except ConnectionError as error:
            raise RuntimeError(f"no answer for {token}") from error
"""

MODELS = {
    "models/fine.sql": "select 1 as id",
    "models/wrong.sql": "select nosuch from {{ ref('fine') }}",
    "models/tested.sql": "select 1 as id union all select null",
    "models/tested.yml": "models: [{name: tested, columns: [{name: id, data_tests: [not_null]}]}]",
}

DUCKDB = """
    shop:
      target: dev
      outputs:
        dev:
          type: duckdb
          path: warehouse.duckdb
          threads: 2
        other:
          type: postgres
          host: 127.0.0.1
          port: 1
          user: "{written}"
          password: "{{{{ env_var('DBT_ENV_SECRET_PASSWORD') }}}}"
          dbname: nowhere
          schema: nowhere
"""

POSTGRES = """
    shop:
      target: dev
      outputs:
        dev: &dev
          type: postgres
          host: {host}
          port: {port}
          user: {user}
          password: "{{{{ env_var('DBT_ENV_SECRET_PASSWORD') }}}}"
          dbname: {database}
          schema: secrets
          threads: 2
        written: {{<<: *dev, password: "{written}"}}
        away: {{<<: *dev, port: 1, password: "{written}"}}
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Fails, or says back what it was told."""

    def do_GET(self) -> None:
        body = str(self.headers).encode() if self.path.startswith("/fails") else b"ok"
        self.send_response(200 if self.path.startswith("/echo") else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # its name in the standard library

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    """A port that answers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_address[1]
        found.shutdown()


class Search:
    """Everything that a workspace wrote, said, or stored."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._own = {path: path.read_bytes() for path in files(workspace.dir)}
        self.said: list[str] = []

    def found(self, secrets: Secrets, *more: str) -> list[str]:
        """Where secrets are that should not be there, in files, on the terminal and in ``more``."""
        texts = {f"terminal, command {n}": text.encode() for n, text in enumerate(self.said)}
        texts |= {f"store {n}": text.encode() for n, text in enumerate(more)}
        for folder in (self._workspace.dir, self._workspace.home):
            texts |= {
                str(path): path.read_bytes()
                for path in files(folder)
                # what a retry goes on with, for its owner's eyes only
                if path not in self._own and path.parent.name != "private"
            }
        return [
            f"{name} in {where}"
            for name, value in secrets.all().items()
            for where, text in texts.items()
            if any(form in text for form in forms(value))
        ]


def forms(value: str) -> set[bytes]:
    """A secret as it may be written: as it is, in a URL."""
    return {value.encode(), quote(value).encode()}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def stored(url: str) -> str:
    """All rows of dbtorch's tables, as text."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "select relname from pg_class where relkind = 'r' and relname like 'dbtorch_%'"
            " and relnamespace = current_schema()::regnamespace"
        ).fetchall()
        assert names
        rows = [
            connection.execute(f"select t::text from {name} t").fetchall()  # type: ignore[arg-type]
            for (name,) in names
        ]
    return str(rows)


#: Every command that shows something.
LOOK = (
    ("plan",),
    ("plan", "--format", "json"),
    ("runs",),
    ("show", "latest"),
    ("show", "latest", "--format", "json"),
    ("logs", "latest", "echoes"),
    ("logs", "latest", "raises"),
    ("logs", "latest", "wrong"),
    ("doctor",),
)


def say(search: Search, workspace: Workspace, *command: str, env: dict[str, str]) -> None:
    """Take note of what a command says, however it ends."""
    with workspace.started(*command, env=env) as running:
        running.process.wait(PATIENCE)
        search.said.append(running.out)


def test_secrets_stay_where_they_are_on_duckdb(workspace: Workspace, server: int) -> None:
    secrets = Secrets()
    workspace.write(
        {
            **MODELS,
            "dbtorch.yml": STEPS.format(port=server),
            "tasks.py": TASKS,
            "profiles.yml": DUCKDB.format(written=secrets.written),
        }
    )
    search, env = Search(workspace), secrets.environ()
    debug = ("run", "--debug", "--log-level-file", "debug", "--log-format", "json")
    for command in (debug, ("retry",)):
        search.said.append(workspace.dbtorch(*command, code=1, env=env).all)
    for command in (*LOOK, ("run", "--target", "other", "--retries", "0")):
        say(search, workspace, *command, env=env)
    assert search.found(secrets) == []

    shown = workspace.show(workspace.runs()[1]["run_id"])
    # it did run, and the secrets were there
    assert shown.names("failed") >= {
        *("echoes", "raises", "calls", "nowhere", "broken_template", "no_program", "wrong")
    }
    assert {"answers", "told", "logs_in", "fine"} <= shown.names("success")
    assert shown.nodes["answers"]["attempts"][0]["output"] == {"token": "*****", "rows": 1}
    assert shown.nodes["raises"]["reason"] == "RuntimeError: no answer for *****"
    assert "*****\n*****\nfailed: exit status 1: *****\n" in log_of(workspace, "step.echoes")


def test_what_a_killed_run_leaves_has_no_secrets(workspace: Workspace) -> None:
    secrets = Secrets()
    workspace.write(
        {
            "dbtorch.yml": """
                steps:
                  slow:
                    command: "cat $DBTORCH_CONTEXT > /dev/null; echo $DBT_ENV_SECRET_TOKEN; sleep 60"
                    params: {token: "{{ env_var('PARAM') }}"}
            """,
            "models/fine.sql": "select 1 as id",
        }
    )
    search = Search(workspace)
    with workspace.started("run", "--log-format", "json", env=secrets.environ()) as run:
        run.wait_for_node("step.slow")
        assert eventually(lambda: "*****\n" in log_of(workspace, "step.slow"))
        os.kill(run.pid, signal.SIGKILL)
        assert workspace.is_quiet()
        search.said.append(run.out)
    assert eventually(lambda: search.found(secrets) == []), search.found(secrets)


def log_of(workspace: Workspace, node: str) -> str:
    logs = (workspace.dir / ".dbtorch" / "runs").glob(f"*/nodes/{node}.1.log")
    return "".join(path.read_text() for path in logs)


@pytest.mark.postgres
def test_secrets_stay_where_they_are_on_postgres(
    workspace: Workspace, server: int, postgres_url: str, postgres_database: str
) -> None:
    secrets = Secrets()
    parts = urlsplit(postgres_url)
    workspace.write(
        {
            **MODELS,
            "dbtorch.yml": STEPS.format(port=server),
            "tasks.py": TASKS,
            "profiles.yml": POSTGRES.format(
                host=parts.hostname,
                port=parts.port or 5432,
                user=parts.username,
                database=parts.path.removeprefix("/"),
                written=secrets.written,
            ),
        }
    )
    # this server lets everybody in, whatever the password
    netloc = f"{parts.username}:{secrets.url}@{parts.hostname}:{parts.port or 5432}"
    url = parts._replace(netloc=netloc).geturl()
    search, env = Search(workspace), secrets.environ()
    store = ("--database-url", url)
    for command in (
        ("run", "--debug", "--log-format", "json", "--target", "written", *store),
        ("retry", *store),
    ):
        search.said.append(workspace.dbtorch(*command, code=1, env=env).all)
    # a warehouse and a history that are not there
    say(search, workspace, "run", "--target", "away", "--retries", "0", *store, env=env)
    wrong = with_option(url.replace(f":{parts.port}/", ":1/"), "connect_timeout=2")
    for address in (wrong, url + "&nosuch=1", url.replace("://", ":/"), url + "%zz"):
        say(search, workspace, "runs", "--database-url", address, env=env)
    for command in (*LOOK[4:5], *LOOK[-1:]):
        say(search, workspace, *command, env={**env, "DBTORCH_DATABASE_URL": url})
    assert search.found(secrets, stored(postgres_url)) == []
    assert "nosuch" in "".join(search.said)
