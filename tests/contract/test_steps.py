"""What every implementation of `Steps` does, whatever a step comes to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dbtorch.adapters.steps.runner import StepRunner
from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Attempt, Batch, Event, Finished, Outcome, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.loop import Emit
from dbtorch.ports.steps import StepContext, Steps
from dbtorch.testing import MemorySteps, fails
from tests.workers import Site

NOW = datetime(2026, 3, 1, tzinfo=UTC)

#: name -> shell that behaves so, and what it must come to
SHELL = {
    "good": "true",
    "bad": "exit 75",
    "absent": "exit 99",
    "slow": "sleep 60",
}


class Heard:
    """Events, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = threading.Condition()

    def take(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def finished(self, attempt: Attempt) -> list[Outcome]:
        return [
            event.outcome
            for event in self.events
            if isinstance(event, Finished) and event.attempt == attempt
        ]

    def wait(self, condition: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(condition, 30), self.events


def real(emit: Emit, tmp_path: Path) -> Steps:
    context = StepContext(
        run_id="r1",
        project="shop",
        pipeline="default",
        logical_date=NOW,
        data_interval_start=NOW,
        data_interval_end=NOW,
        project_dir=tmp_path,
    )
    specs = {name: StepSpec(name=name, type="command", action=sh) for name, sh in SHELL.items()}
    return StepRunner(
        emit,
        specs,
        context,
        log_path=lambda attempt: tmp_path / "logs" / f"{attempt.node_id}.{attempt.number}",
        work_dir=tmp_path / "work",
    )


def in_memory(emit: Emit, tmp_path: Path) -> Steps:
    outcomes = {
        "step.bad": fails("exit status 75", FailureClass.TRANSIENT),
        "step.absent": Outcome(state=State.SKIPPED, message="exit status 99"),
    }
    return MemorySteps(emit, lambda a: outcomes.get(a.node_id, Outcome(state=State.SUCCESS)))


def on_a_worker(emit: Emit, tmp_path: Path) -> Steps:
    lines = [f"  {name}: {{command: '{sh}', queue: crm}}\n" for name, sh in SHELL.items()]
    site = Site(tmp_path, "".join(lines))
    site.tell = emit
    stack = ExitStack()
    stack.enter_context(site.worker(at_once=len(SHELL)))
    steps: Steps = stack.enter_context(site.supervisor())
    close = steps.close

    def leave() -> None:
        close()
        stack.close()

    steps.close = leave  # type: ignore[method-assign]
    return steps


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(params=[real, in_memory, on_a_worker])
def steps(request: pytest.FixtureRequest, heard: Heard, tmp_path: Path) -> Iterator[Steps]:
    steps: Steps = request.param(heard.take, tmp_path)
    yield steps
    steps.close()


@pytest.mark.parametrize(
    ("name", "state", "failure_class"),
    [
        ("good", State.SUCCESS, None),
        ("bad", State.FAILED, FailureClass.TRANSIENT),
        ("absent", State.SKIPPED, None),
    ],
)
def test_an_attempt_is_started_once_and_then_finished_once(
    steps: Steps, heard: Heard, name: str, state: State, failure_class: FailureClass | None
) -> None:
    attempt = Attempt(f"step.{name}", 1)

    steps.start(Batch(1, (attempt,)))
    heard.wait(lambda: heard.finished(attempt))
    steps.close()

    assert [type(event) for event in heard.events] == [Started, Finished]
    (outcome,) = heard.finished(attempt)
    assert (outcome.state, outcome.failure_class) == (state, failure_class)


def test_the_same_step_can_be_tried_again(steps: Steps, heard: Heard) -> None:
    for number in (1, 2):
        steps.start(Batch(number, (Attempt("step.bad", number),)))

    for number in (1, 2):
        heard.wait(lambda number=number: heard.finished(Attempt("step.bad", number)))  # type: ignore[misc]


def test_several_attempts_in_a_batch_all_report(steps: Steps, heard: Heard) -> None:
    attempts = tuple(Attempt(f"step.{name}", 1) for name in ("good", "bad", "absent"))

    steps.start(Batch(1, attempts))

    heard.wait(lambda: all(heard.finished(attempt) for attempt in attempts))


def test_a_cancelled_attempt_reports_once_how_it_ended(steps: Steps, heard: Heard) -> None:
    attempt = Attempt("step.slow", 1)
    steps.start(Batch(1, (attempt,)))
    heard.wait(lambda: Started(attempt) in heard.events)

    steps.cancel(attempt)
    steps.cancel(attempt)

    heard.wait(lambda: heard.finished(attempt))
    steps.close()
    assert len(heard.finished(attempt)) == 1


def test_cancelling_what_is_not_there_or_over_changes_nothing(steps: Steps, heard: Heard) -> None:
    attempt = Attempt("step.good", 1)
    steps.cancel(Attempt("step.nobody", 7))
    steps.start(Batch(1, (attempt,)))
    heard.wait(lambda: heard.finished(attempt))

    steps.cancel(attempt)
    steps.close()

    assert [outcome.state for outcome in heard.finished(attempt)] == [State.SUCCESS]


def test_after_close_everything_has_reported(steps: Steps, heard: Heard) -> None:
    attempts = [Attempt("step.slow", number) for number in (1, 2)]
    for attempt in attempts:
        steps.start(Batch(attempt.number, (attempt,)))

    steps.close()
    steps.close()

    assert all(len(heard.finished(attempt)) == 1 for attempt in attempts)
