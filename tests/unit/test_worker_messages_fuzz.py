"""Whatever a worker says, it is understood or it is a lost attempt: never a traceback or a hang."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import queue
import stat
import sys
import textwrap
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.adapters.dbt.session import messages, worker_process
from dbtorch.adapters.dbt.session.commands import Command, Emit
from dbtorch.adapters.dbt.session.engine import SessionEngine
from dbtorch.adapters.dbt.session.messages import Garbled, read
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.adapters.dbt.session.protocol import SessionProtocol
from dbtorch.cli.errors import NODE_FAILED, exit_code
from dbtorch.core.checks.relation_checks import RelationChecks
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Attempt, Batch, Changed, Event, Finished, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from tests.acceptance.workspace import eventually
from tests.waiting import PATIENCE

NODE = "model.shop.orders"
ATTEMPT = Attempt(NODE, 1)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_TYPES = st.sampled_from(sorted(messages._TYPES))
_FIELDS = st.sampled_from(
    sorted({name for kind in messages._TYPES.values() for name in kind.__struct_fields__})
)
#: Messages that come near to what is one.
_MESSAGES = st.builds(
    lambda kind, node, more: {"type": kind, "node": node, "attempt": 1, **more},
    _TYPES,
    st.sampled_from([NODE, "model.shop.nowhere", SESSION_OPEN, SESSION_CLOSE]),
    st.dictionaries(_FIELDS, _JSON | st.just([{}]) | st.just({}), max_size=6),
)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_garbled(line: bytes) -> None:
    try:
        assert isinstance(read(line + b"\n")["type"], str)
    except Garbled as error:
        assert str(error)  # noqa: PT017  # most bytes are none


@given(_MESSAGES, st.sampled_from([{}, {NODE: RelationChecks(relation=NODE, checks=())}]))
@settings(max_examples=500)
def test_any_message_that_is_read_is_understood(
    message: dict[str, Any], checks: dict[str, RelationChecks]
) -> None:
    try:
        found = read(json.dumps(message).encode() + b"\n")
    except Garbled:
        return
    protocol, commands = an_open_session(checks)
    with contextlib.suppress(Garbled):
        commands += protocol.heard(found)
    # whatever it said: when it is gone the attempt has ended, once
    commands += protocol.died("exit status 1", killed=False, last_words="")
    events = [command.event for command in commands if isinstance(command, Emit)]
    ended = [event for event in events if isinstance(event, Finished) and event.attempt == ATTEMPT]
    assert len(ended) == 1


def an_open_session(
    checks: Mapping[str, RelationChecks] = {},
) -> tuple[SessionProtocol, list[Command]]:
    """One that has a model in flight."""
    protocol = SessionProtocol(a_request("nowhere", Path("nowhere")))
    protocol.open(())
    protocol.heard({**OPENED, "manifest_path": "manifest.json"})
    protocol.accept()
    protocol.start(Batch(1, (Attempt(SESSION_OPEN, 1),)))
    protocol.heard({"type": "begun", "blocked": False})
    protocol.watch(checks)
    return protocol, protocol.start(Batch(2, (ATTEMPT,)))


def a_request(python: str, folder: Path) -> SessionRequest:
    return SessionRequest(
        python=python,
        args=(),
        cwd=folder,
        environ={"PATH": "/usr/bin:/bin"},
        log_path=lambda attempt: folder / "log",
        console=folder / "console",
        scratch=folder,
    )


# ---------------------------------------------------------------------------- real processes

OPENED: dict[str, Any] = {
    "type": "opened",
    "selected": [NODE],
    "edges": [],
    "selected_sources": [],
    "resolved": {},
    "unreadable": {},
    "threads": 1,
    "fail_fast": False,
    "target": {"name": "dev"},
    "exclusive_file": None,
    "vars": {},
    "dbt_version": "1.11.0",
    "adapter": "duckdb 1.11.0",
    "project": "shop",
    "project_dir": ".",
    "target_path": "target",
    "manifest_hash": "abc",
    "checksums": {},
    "watched": [],
    "env_vars": [],
}

#: Says its first words when asked to open, and its last ones when asked to execute.
LIAR = """\
    #!{python} -IS
    import json, os, socket, sys, time
    channel = socket.socket(fileno=int(sys.argv[3]))
    def say(name):
        with open(os.path.join({folder!r}, name), "rb") as file:
            channel.sendall(file.read())
    for line in channel.makefile("rb"):
        kind = json.loads(line)["type"]
        if kind == "open":
            say("opened")
        if kind == "begin":
            channel.sendall(b'{{"type": "begun", "blocked": false}}\\n')
        if kind == "close":
            os._exit(0)
        if kind == "execute":
            say("lie")
            {after}
"""

#: What it says, why it is none, and what it does afterwards.
LIES = {
    "not UTF-8": (b"\xff\xfe\x00{}\n", "no JSON", "pass"),
    "a list": (b"[1]\n", "it has no type", "pass"),
    "a number too long": (b"9" * 5000 + b"\n", "no JSON", "pass"),
    "nested for ever": (b"[" * 100_000 + b"\n", "no JSON", "pass"),
    "unknown type": (b'{"type": "surprise"}\n', "unknown type 'surprise'", "pass"),
    "type of another type": (b'{"type": {}}\n', "unknown type {}", "pass"),
    "no node": (b'{"type": "finished", "status": "success"}\n', "missing required field", "pass"),
    "another node": (
        b'{"type": "finished", "node": "model.shop.other", "attempt": 1, "status": "success"}\n',
        "model.shop.other #1 is not under way",
        "pass",
    ),
    "another attempt": (
        f'{{"type": "finished", "node": "{NODE}", "attempt": 2, "status": "success"}}\n'.encode(),
        f"{NODE} #2 is not under way",
        "pass",
    ),
    "an attempt of another type": (
        f'{{"type": "started", "node": "{NODE}", "attempt": "1"}}\n'.encode(),
        "Expected `int`, got `str`",
        "pass",
    ),
    "a hook that is none": (
        b'{"type": "hook", "node": "operation.shop.x", "status": "success"}\n',
        "there is no operation.shop.x",
        "pass",
    ),
    "an end that nobody asked for": (b'{"type": "closed"}\n', "nobody asked for it", "pass"),
    "half a line, then death": (b'{"type": "fini', "exit status 3", "os._exit(3)"),
    "half a line, then silence": (
        b'{"type": "fini',
        "killed by SIGKILL",
        "channel.shutdown(socket.SHUT_WR); time.sleep(600)",
    ),
    "a line that does not end": (b"x" * 2_000_000, "more than 1,000,000 bytes", "time.sleep(600)"),
}


@pytest.fixture
def liar(tmp_path: Path) -> Path:
    """The interpreter of a project, as far as an engine can tell."""
    (tmp_path / "opened").write_text(
        json.dumps({**OPENED, "manifest_path": str(tmp_path / "manifest.json")}) + "\n"
    )
    (tmp_path / "manifest.json").write_text("{}")
    return tmp_path / "python"


def teach(liar: Path, after: str = "pass") -> None:
    text = textwrap.dedent(LIAR).format(python=sys.executable, folder=str(liar.parent), after=after)
    liar.write_text(text)
    liar.chmod(liar.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_a_lost_attempt(
    liar: Path, lie: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said, why, after = LIES[lie]
    (liar.parent / "lie").write_bytes(said)
    teach(liar, after)
    for module in (messages, worker_process):
        monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(worker_process, "_PATIENCE", 0.5)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    engine = SessionEngine(a_request(str(liar), liar.parent), events.put)
    try:
        engine.open()
        engine.accept()
        opening = Attempt(SESSION_OPEN, 1)
        engine.start(Batch(1, (opening,)))
        assert events.get(timeout=PATIENCE) == Started(opening)
        begun = events.get(timeout=PATIENCE)
        assert isinstance(begun, Finished)
        assert begun.outcome.state is State.SUCCESS
        engine.start(Batch(2, (ATTEMPT,)))
        finished = events.get(timeout=PATIENCE)
    finally:
        engine.kill()
        engine.close()

    assert isinstance(finished, Finished)
    assert finished.attempt == ATTEMPT
    assert finished.outcome.state is State.FAILED
    assert finished.outcome.failure_class is FailureClass.TRANSIENT
    assert finished.outcome.message.startswith("the dbt worker died (")
    assert why in finished.outcome.message
    assert "\n" not in finished.outcome.message
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("opened", "manifest", "why"),
    [
        ("{}\n", "{}", "it has no type"),
        ('{"type": "opened"}\n', "{}", "missing required field"),
        ('{"type": "opened"', "{}", "dbt ended before it had read the project"),
        (json.dumps({**OPENED, "threads": 0}) + "\n", "{}", "threads"),
        (None, "{", "manifest.json cannot be read"),
        (None, '{"nodes": {"a": 1}}', "Expected `object`, got `int`"),
        (None, "[" * 100_000, "manifest.json cannot be read"),
        (None, b'{"nodes": "\xff"}', "manifest.json cannot be read"),
    ],
)
def test_an_opening_that_is_none_is_an_error_in_one_sentence(
    liar: Path, opened: str | None, manifest: str | bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(liar)
    if opened is not None:
        (liar.parent / "opened").write_text(opened)
        liar.write_text(liar.read_text().replace('say("opened")', 'say("opened"); os._exit(0)'))
    is_text = isinstance(manifest, str)
    (liar.parent / "manifest.json").write_bytes(manifest.encode() if is_text else manifest)  # type: ignore[union-attr, arg-type]
    engine = SessionEngine(a_request(str(liar), liar.parent), lambda event: None)
    try:
        with pytest.raises(EngineError) as raised:
            engine.open()
    finally:
        engine.kill()
        engine.close()
    assert why in str(raised.value)


def test_a_worker_that_does_not_read_stops_nobody(liar: Path) -> None:
    """A Python model may keep the interpreter for itself; a socket holds some 300 messages."""
    teach(liar, "open('begun', 'w').close(); time.sleep(600)")
    engine = SessionEngine(a_request(str(liar), liar.parent), lambda event: None)
    skips = [
        Changed(
            node_id=f"model.shop.m{number}",
            attempt=0,
            before=State.PENDING,
            state=State.UPSTREAM_FAILED,
            at=datetime.now(UTC),
        )
        for number in range(5000)
    ]
    (liar.parent / "lie").write_bytes(b"")
    try:
        engine.open()
        engine.accept()
        engine.start(Batch(1, (Attempt(SESSION_OPEN, 1),)))
        engine.start(Batch(2, (ATTEMPT,)))
        assert eventually((liar.parent / "begun").exists)
        others = threading.Thread(target=engine.skip, args=(skips,), daemon=True)
        others.start()
        others.join(PATIENCE)
        assert not others.is_alive()
    finally:
        engine.kill()
        engine.close()


#: Kills itself like the kernel does for want of memory, so many times; then does what it is told.
KILLED = """\
import pathlib, signal
times = pathlib.Path({folder!r}, "times")
times.write_text(times.read_text() + "x")
if len(times.read_text()) <= {deaths}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("deaths", "opens"), [(2, True), (3, False)])
def test_a_worker_that_is_killed_as_it_reads_the_project_is_replaced(
    liar: Path, deaths: int, opens: bool
) -> None:
    teach(liar)
    killed = KILLED.format(folder=str(liar.parent), deaths=deaths)
    head, _, rest = liar.read_text().partition("channel =")
    liar.write_text(f"{head}{killed}channel ={rest}")
    (liar.parent / "times").write_text("")
    engine = SessionEngine(a_request(str(liar), liar.parent), lambda event: None)
    try:
        if opens:
            assert engine.open().selected == {NODE}
        else:
            with pytest.raises(EngineError, match="killed by SIGKILL") as raised:
                engine.open()
            assert raised.value.failure_class is FailureClass.TRANSIENT
            assert exit_code(raised.value) == NODE_FAILED
    finally:
        engine.kill()
        engine.close()
    assert len((liar.parent / "times").read_text()) == 3


#: A copy that locks a file, and stays.
FORKS = """
        import fcntl
        ours, theirs = os.pipe()
        if os.fork() == 0:
            file = open("left", "w")
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(theirs, b"x")
            time.sleep(600)
        os.read(ours, 1)"""


def test_what_a_worker_leaves_in_its_group_ends_with_it(liar: Path) -> None:
    """A model that forks leaves a copy of it."""
    teach(liar)
    text = liar.read_text().replace('if kind == "close":', f'if kind == "close":{FORKS}')
    liar.write_text(text)
    engine = SessionEngine(a_request(str(liar), liar.parent), lambda event: None)
    engine.open()
    engine.close()
    with (liar.parent / "left").open() as file:  # locked by who is left
        assert eventually(lambda: is_free(file))


def is_free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_worker_that_keeps_the_file_is_ended(liar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbtorch.adapters.dbt.session.engine.RELEASED", 0.2)
    teach(liar)
    engine = SessionEngine(a_request(str(liar), liar.parent), lambda event: None)
    try:
        engine.open()
        engine.accept()
        assert engine._worker is not None
        before = engine._worker
        engine.release()  # it does not know the word
        assert before._gone.is_set()
    finally:
        engine.kill()
        engine.close()
