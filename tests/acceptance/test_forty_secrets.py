"""Forty secrets, in all the places that people keep them in, said in every way; and every sink."""

from __future__ import annotations

import base64
import http.server
import json
import stat
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, quote_plus

import pytest

from tests.acceptance.workspace import Shown, Workspace
from tests.slack_server import TOKEN, Slack, slack_server
from tests.smtp_server import Smtp, mail_server


def planted(name: str) -> str:
    """A text that is nowhere else."""
    return f"{name}-{uuid.uuid4().hex}"


def key(name: str, between: str = "\n") -> str:
    """Something like a private key."""
    lines = [base64.b64encode(planted(name).encode() * 2).decode()[:64] for _ in range(4)]
    return between.join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""])


#: Under dbt's prefix, so everybody's.
KINDS = {
    "plain": planted,
    "quotes": lambda name: f"it's \"{planted(name)}\" \\ 'x'",
    "umlauts": lambda name: f"schlüssel-ß-{planted(name)}",
    "url": lambda name: f"p@ss/w&rd?=+%{planted(name)}#x",
    "html": lambda name: f"<b>&{planted(name)}</b>",
    "padded": lambda name: f"  {planted(name)}\n",
    "words": lambda name: f"{planted(name)}   {planted(name)}\t{planted(name)}",
    "pem": key,
    "crlf": lambda name: key(name, "\r\n"),
    "lines": lambda name: "\n".join(planted(name) for _ in range(3)),
    "json": lambda name: json.dumps({"private_key": key(name), "token": planted(name)}),
    "json_lines": lambda name: json.dumps({"private_key": key(name)}, indent=2),
    "dsn": lambda name: f"postgresql://ana:{planted(name)}@db.example:5432/shop",
    "long": lambda name: "".join(planted(name) for _ in range(30)),
}


class Secrets:
    """All of them, by name."""

    def __init__(self) -> None:
        self.prefixed = {
            f"DBT_ENV_SECRET_{kind}_{n}".upper(): make(f"{kind}{n}")
            for kind, make in KINDS.items()
            for n in (1, 2)
        }
        self.vars = {f"DBT_ENV_SECRET_VAR_{n}": planted(f"var{n}") for n in (1, 2)}
        names = (
            "HEADER",
            "AUTH",
            "QUERY",
            "PARAM",
            "POLL",
            "OWN",
            "TOKEN_OF_STEP",
            "SIGNED",
            "MAIL",
            "VAR_OF_PIPELINE",
        )
        self.given = {name: planted(name.lower()) for name in (*names, "HOOK")}
        self.profile = planted("profile")

    @property
    def all(self) -> dict[str, str]:
        return {**self.prefixed, **self.vars, **self.given, "profile": self.profile}

    def pieces(self) -> dict[bytes, str]:
        """What must be nowhere: values, their parts and forms, and what a cut would leave."""
        found: dict[bytes, str] = {}
        for name, value in self.all.items():
            for line in _telling(value):
                for form in (line, line[:12], line[-12:], quote(line), quote_plus(line)):
                    found[form.encode()] = name
                found[json.dumps(line)[1:-1].encode()] = name
            raw = base64.b64encode(value.encode())
            found[raw[:32]] = found[raw.replace(b"+", b"-").replace(b"/", b"_")[:32]] = name
        told: list[bytes] = []
        for piece in sorted(found):  # where none is that a piece begins with, it is not either
            if not told or not piece.startswith(told[-1]):
                told.append(piece)
        return {piece: found[piece] for piece in told}


def _telling(value: str) -> list[str]:
    """Lines of a value that are nowhere else."""
    if value.startswith("{"):
        return [line for one in json.loads(value).values() for line in _telling(one)]
    if value.startswith("postgresql"):
        return [value.split(":")[2].split("@", maxsplit=1)[0]]
    lines = [line.strip() for line in value.splitlines()]
    return [line for line in lines if len(line) > 12 and not line.startswith("-----")]


TASKS = """
    import base64, json, os, sys
    from pathlib import Path
    from urllib.parse import quote, quote_plus

    ALL = {k: v for k, v in os.environ.items() if k.startswith("DBT_ENV_SECRET")}
    FORMS = [
        str, repr, ascii, json.dumps, lambda v: json.dumps({"a": json.dumps(v)}),
        lambda v: quote(v, safe=""), quote, quote_plus, lambda v: repr(v.encode()),
        lambda v: base64.b64encode(v.encode()).decode(),
        lambda v: base64.urlsafe_b64encode(v.encode()).decode(),
        lambda v: base64.encodebytes(v.encode()).decode(),
        lambda v: base64.b64encode(b"user:" + v.encode()).decode(),
        lambda v: " ".join(v.split()), lambda v: v.replace("\\n", " "),
    ]

    def prints():
        for value in ALL.values():
            for form in FORMS:
                print(form(value), flush=True)
                print("|", form(value), file=sys.stderr)
        os.write(1, "".join(ALL.values()).encode())

    def raises_each(number):
        value = sorted(ALL.items())[number][1]
        try:
            raise OSError(value)
        except OSError as error:
            raise RuntimeError("x" * 470 + FORMS[number % len(FORMS)](value)) from error

    def returns():
        return {"all": ALL, "table": os.environ["DBT_ENV_SECRET_SCHEMA"] + ".orders"}

    def reads(context):
        assert context.outputs["returns"]["all"] == ALL
        assert context.outputs["returns"]["table"] == "prod.orders"
        assert context.vars["DBT_ENV_SECRET_VAR_1"].startswith("var1-")
        print(context)
        assert Path("go").exists(), "not yet: " + str(context)

    def own(context):
        print(os.environ["DBT_ENV_SECRET_MINE"], os.environ["API_TOKEN"], context.params)
        raise ValueError([os.environ["DBT_ENV_SECRET_MINE"], os.environ["API_TOKEN"], context.params])
"""

CONFIG = """
    defaults: {{retries: 0}}
    steps:
      prints: {{python: "tasks:prints"}}
      returns: {{python: "tasks:returns"}}
      reads: {{python: "tasks:reads", after: [step:returns]}}
      own:
        python: "tasks:own"
        params: {{password: "{{{{ env_var('PARAM') }}}}"}}
        env: {{DBT_ENV_SECRET_MINE: "{{{{ env_var('OWN') }}}}",
               API_TOKEN: "{{{{ env_var('TOKEN_OF_STEP') }}}}"}}
      echoed:
        http:
          url: "http://127.0.0.1:{port}/fails?api_key={{{{ env_var('QUERY') }}}}"
          headers: {{X-Api-Key: "{{{{ env_var('HEADER') }}}}"}}
          auth: "me:{{{{ env_var('AUTH') }}}}"
          json: {{pem: "{{{{ env_var('DBT_ENV_SECRET_PEM_1') }}}}", param: "{{{{ params.token }}}}"}}
        params: {{token: "{{{{ env_var('PARAM') }}}}"}}
      polled:
        http:
          url: "http://127.0.0.1:{port}/job"
          poll:
            url: "http://127.0.0.1:{port}/fails"
            headers: {{Authorization: "Bearer {{{{ env_var('POLL') }}}}"}}
            expect: [200, 500]
            every: 0.1
            for: 0.5
            until: "status == 200"
      template: {{command: "echo {{{{ env_var('DBT_ENV_SECRET_PEM_2') / 2 }}}}"}}
      shell: {{command: "echo \\"$DBT_ENV_SECRET_PEM_1\\" >&2; printf %s \\"$DBT_ENV_SECRET_LONG_1\\"; exit 3"}}
      no_program: {{command: ["/nowhere/{{{{ env_var('DBT_ENV_SECRET_URL_1') }}}}"]}}
{raising}
    pipelines:
      default: {{vars: {{DBT_ENV_SECRET_VAR_3: "{{{{ env_var('VAR_OF_PIPELINE') }}}}"}}}}
    alerts:
      targets: "*"
      slack: {{token: "{{{{ env_var('SLACK_TOKEN') }}}}", channel: C0000DATA, api_url: "{slack}"}}
      webhook:
        url: "http://127.0.0.1:{port}/hook/{{{{ env_var('HOOK') }}}}"
        secret: "{{{{ env_var('SIGNED') }}}}"
      email: {{host: 127.0.0.1, port: {smtp}, tls: none, from: a@example.com, to: b@example.com}}
"""

#: One step for each prefixed variable: its message ends with the secret, cut off.
RAISING = '      raises_{n}: {{python: "tasks_{n}:run"}}'
RAISING_TASK = """
    import tasks
    def run():
        tasks.raises_each({n})
"""

PYTHON_MODEL = """
    import os, sys

    def model(dbt, session):
        dbt.config(materialized="table")
        print("printed", os.environ["DBT_ENV_SECRET_PEM_1"], repr(os.environ["DBT_ENV_SECRET_PEM_2"]))
        os.write(1, os.environ["DBT_ENV_SECRET_LONG_1"].encode())
        os.system('echo "$DBT_ENV_SECRET_PEM_2"')
        if os.environ["DBT_ENV_SECRET_PEM_1"]:
            raise ValueError("no " + os.environ["DBT_ENV_SECRET_PEM_1"] + os.environ["DBT_ENV_SECRET_LONG_2"])
        return session.sql("select 1 as id")
"""

PROJECT = """
    name: shop
    version: "1.0"
    profile: shop
    flags: {send_anonymous_usage_stats: false}
    on-run-end: "select '{{ var('DBT_ENV_SECRET_VAR_1') }}' as a, nosuch"
"""

PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {{type: duckdb, path: warehouse.duckdb, threads: 2}}
        other: {{type: postgres, host: x, port: 1, user: x, password: "{password}", dbname: x, schema: x}}
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Takes note of what alerts send; to everything else it says back what it was told."""

    heard: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/hook"):
            self.heard.append(said)
        body = (
            b""
            if self.path.startswith(("/hook", "/job"))
            else f"{self.path}\n{self.headers}".encode() + said
        )
        self.send_response(500 if self.path.startswith("/fails") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815  # its name in the standard library

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what alerts have sent to it."""
    heard: ClassVar[list[bytes]] = []
    handler = type("Own", (Echo,), {"heard": heard})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_address[1], heard
        found.shutdown()


@pytest.fixture
def slack() -> Iterator[Slack]:
    with slack_server() as found:
        yield found


@pytest.fixture
def mail() -> Iterator[Smtp]:
    with mail_server() as found:
        yield found


def written(workspace: Workspace, own: set[Path]) -> dict[str, bytes]:
    """Every file that dbtorch has written; what is in ``target`` is dbt's."""
    folders = (workspace.dir, workspace.home)
    paths = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    return {
        str(path): path.read_bytes()
        for path in paths - own
        if "target" not in path.parts
        and path.parent.name != "private"
        and path.suffix not in (".pyc", ".duckdb", ".wal")
    }


def says(
    workspace: Workspace, *command: str, env: Mapping[str, str], code: int | None = None
) -> str:
    """What a command says; one of a user's tracebacks may be in it."""
    with workspace.started(*command, env=env) as running:
        status = running.process.wait(workspace.patience)
        assert code in (None, status), running.out
        return running.out


def test_no_secret_is_in_any_sink(
    workspace: Workspace, tmp_path: Path, echo: tuple[int, list[bytes]], slack: Slack, mail: Smtp
) -> None:
    secrets = Secrets()
    assert len(secrets.all) >= 40
    port, heard = echo
    numbers = range(0, len(secrets.prefixed), 2)  # one of each kind
    workspace.write(
        {
            "dbt_project.yml": PROJECT,
            "profiles.yml": PROFILES.format(password=secrets.profile),
            "tasks.py": TASKS,
            **{f"tasks_{n}.py": RAISING_TASK.format(n=n) for n in numbers},
            "dbtorch.yml": CONFIG.format(
                port=port,
                slack=slack.url,
                smtp=mail.port,
                raising="\n".join(RAISING.format(n=n) for n in numbers),
            ),
            "models/leaks.py": PYTHON_MODEL,
            "models/wrong.sql": "{{ log(var('DBT_ENV_SECRET_VAR_2'), info=true) }}"
            "select '{{ var('DBT_ENV_SECRET_VAR_2') }}' as x, nosuch",
            "models/of_pipeline.sql": "{{ log(var('DBT_ENV_SECRET_VAR_3'), info=true) }}"
            "select '{{ var('DBT_ENV_SECRET_VAR_3') }}' as x, nosuch",
        }
    )
    own = {path for path in workspace.dir.rglob("*") if path.is_file()}
    env = {
        **secrets.prefixed,
        **secrets.given,
        "DBT_ENV_SECRET_SCHEMA": "prod",
        "SLACK_TOKEN": TOKEN,
        "NO_PROXY": "127.0.0.1",
    }
    said: list[str] = []
    vars = ("--vars", json.dumps(secrets.vars))
    uploaded = tmp_path / "uploaded"
    upload = ("--artifacts-url", uploaded.as_uri())
    said.append(says(workspace, "run", *vars, *upload, env=env, code=1))
    (workspace.dir / "go").touch()
    said.append(says(workspace, "retry", "--log-format", "json", *upload, env=env, code=1))

    shown = Shown(json.loads(says(workspace, "show", "--format", "json", env=env)))
    assert {"prints", "returns", "reads"} <= shown.names("success")  # handed on as they were
    failed = {
        "own",
        "echoed",
        "polled",
        "template",
        "shell",
        "no_program",
        "leaks",
        "wrong",
        "of_pipeline",
    }
    assert shown.names("failed") >= failed | {f"raises_{n}" for n in numbers}
    assert shown.nodes["returns"]["attempts"][0]["output"]["table"] == "*****.orders"

    looks = (
        ("show",),
        ("show", "--format", "json"),
        ("runs", "--format", "json"),
        ("status",),
        ("plan", *vars),
        ("alerts", "list", "--all", "--format", "json"),
        *(("logs", "latest", name) for name in ("prints", "own", "echoed", "leaks", "of_pipeline")),
    )
    said += [says(workspace, *command, env=env) for command in looks]

    sinks = {f"terminal {n}": text.encode() for n, text in enumerate(said)}
    sinks |= written(workspace, own)
    sinks |= {f"webhook {n}": body for n, body in enumerate(heard)}
    sinks |= {f"Slack {n}": json.dumps(call).encode() for n, call in enumerate(slack.calls)}
    sinks |= {f"mail {n}": one.as_bytes() for n, one in enumerate(mail.mails)}
    files = [path for path in uploaded.rglob("*") if path.is_file()]
    assert {"manifest.json", "run_results.json", "step.own.1.log"} <= {path.name for path in files}
    sinks |= {f"uploaded {path}": path.read_bytes() for path in files}
    for kind in ("webhook", "Slack", "mail", str(workspace.dir / ".dbtorch" / "dbtorch.db")):
        assert any(name.startswith(kind) for name in sinks), kind
    found = {
        f"{name} in {where}: {piece!r}"
        for piece, name in secrets.pieces().items()
        for where, text in sinks.items()
        if piece in text
    }
    assert not found, "\n".join(sorted(found)[:40])

    assert stat.S_IMODE((workspace.dir / ".dbtorch").stat().st_mode) == 0o700
    private = [*(workspace.dir / ".dbtorch").rglob("private/*")]
    assert {path.name for path in private} == {
        "dbt_args.json",
        "output.returns.json",
        "pipeline_args.json",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}

    # without the private folder a retry says so, and hands no stars on
    (of_pipeline,) = (path for path in private if path.name == "pipeline_args.json")
    for path in set(private) - {of_pipeline}:
        path.unlink()
    assert "give the retry the same --vars again" in workspace.refused("retry", env=env)
    refused = workspace.refused("retry", *vars, env=env)
    assert "the output of step returns held a secret" in refused
    of_pipeline.unlink()
    assert "secrets in the vars of its pipeline" in workspace.refused("retry", *vars, env=env)
