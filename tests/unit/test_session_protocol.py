"""What a session does when: its protocol is told something, and answers commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.dbt.session.commands import (
    Arm,
    Command,
    Emit,
    Kill,
    Launch,
    Leave,
    Reply,
    Send,
    Wait,
    WriteLog,
)
from dbtorch.adapters.dbt.session.messages import Garbled
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.adapters.dbt.session.phases import Phase
from dbtorch.adapters.dbt.session.protocol import (
    LEFT,
    LEFT_AT_WORK,
    MAX_DEATHS,
    SessionProtocol,
)
from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN

NOWHERE = Path("nowhere")
OPENED = {"type": "opened", "vars": {"deep": False}, "target": {"name": "dev"}}
BEGUN = {"type": "begun", "blocked": False}
OPENING, CLOSING = Attempt(SESSION_OPEN, 1), Attempt(SESSION_CLOSE, 1)
ORDERS, ITEMS = Attempt("model.shop.orders", 1), Attempt("model.shop.items", 1)


def a_session(sql: Mapping[str, SqlStep] = {}, *, lingers: bool = False) -> SessionProtocol:
    request = SessionRequest(
        python="python",
        args=("--quiet",),
        cwd=NOWHERE,
        environ={},
        log_path=lambda attempt: NOWHERE,
        console=NOWHERE,
        scratch=NOWHERE,
        grace=7.0,
        sql=sql,
        lingers=lingers,
    )
    return SessionProtocol(request)


def opened(protocol: SessionProtocol) -> SessionProtocol:
    protocol.open(["tag:daily"])
    protocol.heard(OPENED)
    protocol.accept()
    return protocol


def connected(protocol: SessionProtocol) -> SessionProtocol:
    start(opened(protocol), OPENING)
    protocol.heard(BEGUN)
    return protocol


def start(protocol: SessionProtocol, attempt: Attempt) -> list[Command]:
    return protocol.start(Batch(1, (attempt,)))


def die(protocol: SessionProtocol, *, killed: bool = True) -> list[Command]:
    return protocol.died("killed by SIGKILL", killed=killed, last_words="dbt said nothing")


def finished(attempt: Attempt, status: str = "success") -> dict[str, Any]:
    about = {"node": attempt.node_id, "attempt": attempt.number}
    return {"type": "finished", "status": status, **about}


def sent(commands: list[Command]) -> list[str]:
    return [command.type for command in commands if isinstance(command, Send)]


def ended(commands: list[Command]) -> dict[Attempt, Outcome]:
    events = [command.event for command in commands if isinstance(command, Emit)]
    return {event.attempt: event.outcome for event in events if isinstance(event, Finished)}


def test_a_session_from_its_start_to_its_end() -> None:
    protocol = a_session()
    assert protocol.launch() == [Launch()]
    (order,) = protocol.open(["tag:daily"])
    assert isinstance(order, Send)
    assert (order.type, order.fields["resolve"]) == ("open", ("tag:daily",))
    assert order.fields["start_hooks"]
    assert protocol.heard(OPENED) == [Reply(Wait.OPEN, OPENED)]
    assert start(protocol, OPENING) == []  # nobody has accepted it
    assert protocol.accept() == [Emit(Started(OPENING)), Send("begin")]
    assert ended(protocol.heard(BEGUN))[OPENING].state is State.SUCCESS
    assert sent(start(protocol, ORDERS)) == ["execute"]
    assert ended(protocol.heard(finished(ORDERS)))[ORDERS].state is State.SUCCESS
    assert sent(start(protocol, CLOSING)) == ["finish"]
    assert ended(protocol.heard({"type": "closed"}))[CLOSING].state is State.SUCCESS
    assert protocol.close() == [Leave(LEFT)]
    assert die(protocol, killed=False) == []
    assert protocol.phase is Phase.ENDED


def test_a_worker_that_dies_is_replaced_and_connects_when_it_has_something_to_do() -> None:
    protocol = connected(a_session())
    start(protocol, ORDERS)
    lost, launch, order = die(protocol)
    assert isinstance(lost, Emit)
    assert ended([lost])[ORDERS].lost
    assert launch == Launch()
    assert isinstance(order, Send)
    assert not order.fields["start_hooks"]  # they have run

    again = Attempt(ORDERS.node_id, 2)
    assert start(protocol, again) == []
    assert protocol.heard(OPENED) == [Send("begin")]
    (order,) = protocol.heard(BEGUN)
    assert isinstance(order, Send)
    assert (order.type, order.logs) == ("execute", again)


def test_a_worker_that_dies_before_anybody_has_accepted_waits_for_that_as_well() -> None:
    protocol = a_session()
    protocol.open([])
    protocol.heard(OPENED)
    start(protocol, OPENING)
    die(protocol)
    assert protocol.heard(OPENED) == []  # the owner has its answer
    assert sent(protocol.accept()) == ["begin"]

    protocol = a_session()
    protocol.open([])
    protocol.heard(OPENED)
    start(protocol, OPENING)
    die(protocol)
    assert protocol.accept() == []
    assert sent(protocol.heard(OPENED)) == ["begin"]


@pytest.mark.parametrize("asked", [True, False])
def test_one_that_is_killed_as_it_reads_the_project_is_replaced_and_not_for_ever(
    asked: bool,
) -> None:
    protocol = a_session()
    protocol.launch()
    if asked:
        protocol.open([])
    for _ in range(MAX_DEATHS - 1):
        launch, *orders = die(protocol)
        assert launch == Launch()
        assert sent(orders) == ["open"] * asked
    told = die(protocol) if asked else [*die(protocol), *protocol.open([])]
    assert told == [
        Reply(Wait.OPEN, error="dbt said nothing", failure_class=FailureClass.TRANSIENT)
    ]
    assert protocol.phase is Phase.ENDED


def test_one_that_ends_by_itself_as_it_reads_the_project_would_do_so_again() -> None:
    protocol = a_session()
    protocol.open([])
    start(protocol, OPENING)
    commands = die(protocol, killed=False)
    assert Reply(Wait.OPEN, error="dbt said nothing") in commands
    assert ended(commands)[OPENING].failure_class is FailureClass.CODE


def test_workers_that_die_in_a_row_with_nothing_in_hand_are_enough_at_some_time() -> None:
    protocol = opened(a_session())
    for _ in range(MAX_DEATHS - 1):
        assert Launch() in die(protocol)
        protocol.heard(OPENED)
    assert die(protocol) == []
    (outcome,) = ended(start(protocol, OPENING)).values()
    assert outcome.message == "the dbt worker died 3 times in a row (killed by SIGKILL)"
    assert outcome.failure_class is FailureClass.DEPENDENCY


def test_a_worker_that_cannot_be_replaced_ends_the_session() -> None:
    protocol = connected(a_session())
    die(protocol)
    start(protocol, ORDERS)
    (outcome,) = ended(protocol.not_launched("cannot start python")).values()
    assert outcome.message == "cannot start python"
    assert protocol.phase is Phase.ENDED


def test_what_does_not_stop_in_time_goes_with_its_worker_and_nobody_else_is_to_blame() -> None:
    protocol = connected(a_session())
    start(protocol, ORDERS)
    start(protocol, ITEMS)
    assert protocol.cancel(ORDERS) == [
        Send("cancel", {"node": ORDERS.node_id}),
        Arm(7.0, ORDERS),
    ]
    assert protocol.expired(ORDERS) == [Kill()]
    found = ended(die(protocol))
    assert (found[ORDERS].innocent, found[ITEMS].innocent) == (False, True)
    assert protocol.expired(ORDERS) == []  # it has gone with its worker


def test_at_the_end_of_a_run_it_is_left_to_itself() -> None:
    protocol = connected(a_session())
    protocol.leave_out_end_hooks()
    start(protocol, ORDERS)
    protocol.cancel(ORDERS)
    commands = protocol.expired(ORDERS)
    assert sent(commands) == ["forsake"]
    assert ended(commands)[ORDERS].message == "did not end when it was cancelled"
    assert protocol.heard(finished(ORDERS)) == []  # late, and nobody waits
    assert protocol.close() == [Leave(LEFT_AT_WORK)]


def test_an_attempt_that_is_over_is_not_cancelled_with_one_of_the_same_node() -> None:
    protocol = connected(a_session())
    start(protocol, ORDERS)
    protocol.heard(finished(ORDERS, "error"))
    start(protocol, Attempt(ORDERS.node_id, 2))
    assert protocol.cancel(ORDERS) == []


def test_artifacts_are_written_although_nobody_can_connect() -> None:
    protocol = connected(a_session())
    die(protocol)
    protocol.heard(OPENED)
    assert sent(start(protocol, CLOSING)) == ["begin"]  # for the end hooks
    commands = protocol.heard({"type": "begin_failed", "message": "no route to host"})
    assert sent(commands) == ["finish"]
    (outcome,) = ended(protocol.heard({"type": "closed"})).values()
    assert (outcome.state, outcome.message) == (State.FAILED, "no route to host")


def test_a_connection_that_fails_is_in_the_log_and_may_be_tried_again() -> None:
    protocol = opened(a_session())
    start(protocol, OPENING)
    commands = protocol.heard({"type": "begin_failed", "message": "no route to host"})
    assert WriteLog(OPENING, "no route to host\n") in commands
    assert ended(commands)[OPENING].state is State.FAILED
    assert sent(start(protocol, Attempt(SESSION_OPEN, 2))) == ["begin"]


def test_everybody_who_waits_is_answered_when_the_worker_dies() -> None:
    protocol = connected(a_session())
    assert sent(protocol.ask("tables")) == ["ask"]
    assert sent(protocol.release()) == ["release"]
    replies = [command for command in die(protocol) if isinstance(command, Reply)]
    assert {reply.wait: reply.error for reply in replies} == {
        Wait.RELEASE: None,  # nothing is open in a process that is gone
        Wait.ANSWER: "the dbt worker died (killed by SIGKILL)",
    }


def test_a_session_that_lingers_answers_before_it_is_connected_and_after_it_is_closed() -> None:
    protocol = opened(a_session(lingers=True))
    assert sent(protocol.ask("tables")) == ["ask"]
    assert replies(protocol.heard({"type": "answer", "found": []})) == [None]
    start(protocol, OPENING)
    protocol.heard(BEGUN)
    start(protocol, CLOSING)
    assert replies(protocol.ask("tables")) == ["the dbt session is not open"]
    assert ended(protocol.heard({"type": "closed"}))[CLOSING].state is State.SUCCESS
    assert ended(start(protocol, ORDERS))  # nothing starts any more
    assert sent(protocol.ask("tables")) == ["ask"]
    assert replies(die(protocol)) == ["the dbt worker died (killed by SIGKILL)"]
    assert replies(protocol.ask("tables")) == ["the dbt session is not open"]


def replies(commands: list[Command]) -> list[str | None]:
    return [command.error for command in commands if isinstance(command, Reply)]


def test_a_session_that_is_closed_as_it_opens_says_so() -> None:
    protocol = a_session()
    protocol.open([])
    start(protocol, OPENING)
    commands = protocol.close()
    assert commands[-1] == Leave(LEFT_AT_WORK)  # it hears nothing, and has nothing open
    (reply,) = (command for command in commands if isinstance(command, Reply))
    assert (reply.wait, reply.error) == (Wait.OPEN, "the dbt session was closed")
    assert ended(commands)[OPENING].message == "the dbt session was closed"
    assert protocol.heard(OPENED) == []


def test_after_a_kill_nobody_is_told_of_what_was_under_way() -> None:
    protocol = connected(a_session())
    start(protocol, ORDERS)
    protocol.kill()
    assert protocol.heard(finished(ORDERS)) == []
    assert die(protocol) == []
    assert list(ended(start(protocol, ITEMS))) == [ITEMS]


def test_a_sql_step_is_left_out_by_what_dbt_knows() -> None:
    step = Attempt("step.tidy", 1)
    given: list[Mapping[str, Any]] = []

    def skip(known: Mapping[str, Any]) -> str:
        given.append(known)
        return "" if known["vars"]["deep"] else "not deep"

    protocol = connected(a_session({step.node_id: SqlStep(text="select 1", skip=skip)}))
    commands = start(protocol, step)
    assert sent(commands) == []
    assert ended(commands)[step].state is State.SKIPPED
    assert given == [{"vars": {"deep": False}, "target": {"name": "dev"}}]


@pytest.mark.parametrize(
    "message",
    [
        OPENED,  # twice
        BEGUN,
        {"type": "begin_failed", "message": "no"},
        {"type": "answer", "found": []},  # or the next question would have it
        {"type": "closed"},
        finished(ITEMS),
        {"type": "hook", "node": "operation.shop.none", "status": "success"},
    ],
)
def test_what_a_worker_has_no_reason_to_say_is_garbled(message: dict[str, Any]) -> None:
    protocol = connected(a_session())
    start(protocol, ORDERS)
    with pytest.raises(Garbled):
        protocol.heard(dict(message))
    assert list(ended(die(protocol))) == [ORDERS]


def test_what_a_worker_still_says_after_the_end_is_no_lie_and_nobody_waits_for_it() -> None:
    for end in (SessionProtocol.close, lambda session: session.abandon("it took too long")):
        protocol = connected(a_session())
        start(protocol, ORDERS)
        assert list(ended(end(protocol))) == [ORDERS]
        assert protocol.heard(finished(ORDERS)) == []
        assert die(protocol) == []
