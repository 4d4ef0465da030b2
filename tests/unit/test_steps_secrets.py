"""What steps say and return is kept and shown without secrets, and handed on as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dbtorch.core.config import StepSpec
from dbtorch.core.history.records import OUTPUT_HIDDEN
from dbtorch.core.model.state import State
from dbtorch.testing.steps import StepBench
from tests.unit.loopback import Server, serving

PEM = "-----BEGIN KEY-----\nline one of the key\nline two of the key\n-----END KEY-----\n"
LONG = "".join(f"{n:04}" for n in range(100))

TASKS = """
import os

def lines():
    raise ValueError("cannot read " + os.environ["DBT_ENV_SECRET_KEY"])

def cause():
    try:
        raise OSError(os.environ["DBT_ENV_SECRET_KEY"])
    except OSError as error:
        raise RuntimeError("no") from error

def tail():
    raise ValueError("x" * 480 + os.environ["DBT_ENV_SECRET_LONG"])

def own():
    raise ValueError("refused: " + os.environ["DBT_ENV_SECRET_OWN"])

def leaves():
    raise SystemExit("bye " + os.environ["DBT_ENV_SECRET_KEY"])

def table():
    return {"table": os.environ["DBT_ENV_SECRET_SCHEMA"] + ".orders", "rows": 3}

def token():
    return {"token": os.environ["DBT_ENV_SECRET_OWN"]}

def says(context):
    print(context.outputs)
    return context.outputs["token"]["token"] == "only-this-step-knows"
"""

ENVIRON = {
    **os.environ,
    "DBT_ENV_SECRET_KEY": PEM,
    "DBT_ENV_SECRET_LONG": LONG,
    "DBT_ENV_SECRET_SCHEMA": "prod",
    "NO_PROXY": "127.0.0.1",
}

OWN = {"DBT_ENV_SECRET_OWN": "only-this-step-knows"}


def python(name: str, **more: Any) -> StepSpec:
    return StepSpec(name=name, type="python", action=f"tasks:{name}", **more)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[StepBench]:
    (tmp_path / "tasks.py").write_text(TASKS)
    specs = [
        *map(python, ("lines", "cause", "tail", "leaves", "table", "says")),
        python("own", env=OWN),
        python("token", env=OWN),
        StepSpec(name="reads", type="command", action="echo {{ outputs.table.table }} > told"),
    ]
    with StepBench(tmp_path, specs, environ=ENVIRON) as bench:
        yield bench


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("lines", "ValueError: cannot read *****"),
        ("cause", "RuntimeError: no"),
        ("tail", f"ValueError: {'x' * 480}*****"),
        ("own", "ValueError: refused: *****"),
        ("leaves", "bye *****"),
    ],
)
def test_what_a_step_says_is_scrubbed_before_it_is_joined_or_cut(
    bench: StepBench, step: str, message: str
) -> None:
    outcome = bench.run(step)

    assert outcome.message == message
    everything = bench.log(step) + str(outcome)
    for piece in ("line one", "line two", LONG[:9], "only-this"):
        assert piece not in everything


def test_an_output_is_handed_on_as_it_is_and_shown_without_secrets(
    bench: StepBench, tmp_path: Path
) -> None:
    outcome = bench.run("table")
    assert outcome.output == {"table": "*****.orders", "rows": 3}
    assert outcome.details == {OUTPUT_HIDDEN: True}

    assert bench.run("reads").state is State.SUCCESS
    assert (tmp_path / "told").read_text() == "prod.orders\n"


def test_passwords_of_urls_are_hidden_wherever_a_step_is_given_them(tmp_path: Path) -> None:
    says = "echo url $PGURL; echo 'x urlpw11111'; exit 3"
    specs = [
        StepSpec(
            name="env",
            type="command",
            action=says,
            env={"PGURL": "postgresql://joe:urlpw11111@127.0.0.1/x"},
        ),
        StepSpec(
            name="params",
            type="command",
            action="echo {{ params.at.url }}; echo x urlpw22222; exit 3",
            params={"at": {"url": "postgresql://joe:urlpw22222@127.0.0.1/x"}},
        ),
        StepSpec(
            name="argv",
            type="command",
            action=["sh", "-c", "echo $0; echo x urlpw33333; exit 3", "http://a:urlpw33333@b/"],
        ),
    ]
    with StepBench(tmp_path, specs, environ={**os.environ}) as bench:
        for name in ("env", "params", "argv"):
            assert bench.run(name).message == "exit status 3: x *****"
            assert "urlpw" not in bench.log(name)
            assert "//*****@" in bench.log(name)


def test_a_message_in_colours_is_scrubbed_in_the_log_and_in_the_history(tmp_path: Path) -> None:
    says = r"printf 'login Super\033[01;31m\033[KSecret\033[m\033[KValue123 refused\n'; exit 1"
    step = StepSpec(name="grep", type="command", action=says)
    environ = {**os.environ, "DBT_ENV_SECRET_X": "SuperSecretValue123"}
    with StepBench(tmp_path, [step], environ=environ) as bench:
        assert bench.run("grep").message == "exit status 1: login ***** refused"
        assert "Value123" not in bench.log("grep")


def test_a_step_says_nothing_of_what_another_one_was_given(bench: StepBench) -> None:
    assert bench.run("token").output == {"token": "*****"}
    outcome = bench.run("says")
    assert outcome.output is True  # it did have it
    assert bench.log("says") == "{'token': {'token': '*****'}}\n"


def test_nor_of_what_one_was_given_in_an_earlier_stretch(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    outputs = {"token": {"token": "only-this-step-knows"}}
    specs = [python("token", env=OWN), python("says")]
    with StepBench(tmp_path, specs, environ=ENVIRON, outputs=outputs) as bench:
        assert bench.run("says").output is True
        assert bench.log("says") == "{'token': {'token': '*****'}}\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def called(
    folder: Path, action: Mapping[str, Any], environ: Mapping[str, str] = {}, **more: Any
) -> StepBench:
    """An http step that has ended."""
    spec = StepSpec(name="it", type="http", action=action, **more)
    with StepBench(folder, [spec], environ={**ENVIRON, **environ}) as bench:
        bench.run("it")
    return bench


def test_what_a_server_says_back_of_a_request_is_not_shown(tmp_path: Path, server: Server) -> None:
    basic = "bWU6YmFzaWMtcGFzc3dvcmQ="  # me:basic-password
    said = f"the-api-key, of-the-url, basic-password, {basic}, in-the-params, {PEM}"
    server.says("/fails", (500, {}, said + LONG))
    action = {
        "url": f"{server.url}/fails?token=of-the-url",
        "headers": {"X-Api-Key": "{{ env_var('KEY') }}"},
        "auth": "me:{{ env_var('BASIC') }}",
        "json": {"x": "{{ params.token }}"},
    }
    environ = {"KEY": "the-api-key", "BASIC": "basic-password"}
    bench = called(tmp_path, action, environ, params={"token": "in-the-params"})

    message = bench.events[-1].outcome.message  # type: ignore[union-attr]
    assert "answered 500 Internal Server Error: *****, *****, *****, *****, *****" in message
    assert not any(one in message for one in ("line one", LONG[:9], "url", "api-key"))


@pytest.mark.parametrize(
    "url", ["ana:hunter2@db/x?password=hunter3#hunter4", "ftp://ana:hunter2@db/x?a=hunter3"]
)
def test_a_url_that_is_none_is_shown_without_login_and_query(tmp_path: Path, url: str) -> None:
    message = called(tmp_path, {"url": url}).events[-1].outcome.message  # type: ignore[union-attr]
    assert message.endswith("db/x' is no http or https URL")
    assert "hunter" not in message


def test_what_a_server_says_is_never_rendered(tmp_path: Path, server: Server) -> None:
    """A job's id may be anything, and is in a URL that polling asks again."""
    template = "{{env_var('DBT_ENV_SECRET_LONG')}}"
    server.says("/jobs", (200, {}, {"id": template}))
    action = {
        "url": "{{ env_var('SERVER') }}/jobs?of={{ outputs.first.id }}",
        "method": "POST",
        "poll": {"until": "json.id", "every": 0.1},
    }
    spec = StepSpec(name="it", type="http", action=action)
    environ = {**ENVIRON, "SERVER": server.url}
    outputs = {"first": {"id": template}}
    with StepBench(tmp_path, [spec], environ=environ, outputs=outputs) as bench:
        assert bench.run("it").state is State.SUCCESS
    assert [path for _, path, _, _ in server.requests] == [f"/jobs?of={template}"] * 2
