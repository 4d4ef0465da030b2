"""What a worker's replacement is told."""

from datetime import UTC, datetime

from dbtorch.adapters.dbt.session.ledger import Ledger
from dbtorch.core.model.events import Changed
from dbtorch.core.model.reason import FAIL_FAST, NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import State


def left_out(id, state=State.SKIPPED, *, reason=NO_REASON):
    return Changed(
        node_id=id,
        attempt=0,
        before=State.PENDING,
        state=state,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        reason=reason,
    )


def test_the_last_result_of_each_node_counts():
    ledger = Ledger()
    ledger.adopt({"a": {"status": "success"}, "b": {"status": "pass"}}, {})
    ledger.ended("a", {"status": "error"})
    assert ledger.results() == [
        {"status": "error", "node": "a"},
        {"status": "pass", "node": "b"},
    ]


def test_hooks_of_an_earlier_stretch_run_again():
    ledger = Ledger()
    ledger.adopt({"operation.start": {"status": "success"}}, {})
    assert ledger.hooks_done == []
    ledger.hook_ended("operation.start", {"status": "success"})
    assert ledger.hooks_done == ["operation.start"]


def test_what_a_worker_took_with_it_is_an_error():
    ledger = Ledger()
    ledger.lost("a", "the dbt worker died")
    (result,) = ledger.results()
    assert (result["status"], result["message"]) == ("error", "the dbt worker died")


def a_day(number):
    return datetime(2026, 3, number, tzinfo=UTC), datetime(2026, 3, number + 1, tzinfo=UTC)


def told(number):
    return [at.isoformat() for at in a_day(number)]


def test_what_is_planned_and_not_known_to_have_been_built_has_failed():
    ledger = Ledger()
    ledger.microbatches.planned("a", [a_day(1), a_day(2), a_day(3)])
    assert ledger.microbatches.built("a", a_day(2))
    batches = {"successful": [told(2)], "failed": [told(1), told(3)]}
    assert ledger.batches("a") == batches
    ledger.lost("a", "the dbt worker died")
    (result,) = ledger.results()
    assert result["batch_results"] == batches
    ledger.microbatches.planned("a", [a_day(1), a_day(3)])  # by the second attempt
    assert ledger.microbatches.built("a", a_day(1))
    assert ledger.batches("a") == {"successful": [told(1), told(2)], "failed": [told(3)]}


def test_what_is_planned_once_more_is_not_built():
    ledger = Ledger()
    ledger.adopt({}, {"a": {a_day(1): True, a_day(2): False}})
    assert ledger.batches("a") == {"successful": [told(1)], "failed": [told(2)]}
    ledger.microbatches.planned("a", [a_day(1), a_day(2)])  # its table is made anew
    assert ledger.batches("a") == {"successful": [], "failed": [told(1), told(2)]}


def test_nobody_builds_what_was_not_planned():
    ledger = Ledger()
    ledger.microbatches.planned("a", [a_day(1)])
    assert not ledger.microbatches.built("a", a_day(2))
    assert not ledger.microbatches.built("b", a_day(1))
    assert ledger.batches("b") is None


def test_a_reason_to_skip_is_told_of_all_that_is_left_out_for_it():
    ledger = Ledger()
    first = ledger.skipped(left_out("a", reason=FAIL_FAST))
    second = ledger.skipped(left_out("b", reason=Reason(ReasonKind.UPSTREAM_SKIPPED, ("a",))))
    assert [first["message"], second["message"]] == ["Skipping due to fail_fast"] * 2


def test_what_failed_upstream_is_for_dbt_to_say():
    ledger = Ledger()
    ledger.ended("a", {"status": "error"})
    message = ledger.skipped(
        left_out("b", State.UPSTREAM_FAILED, reason=Reason(ReasonKind.UPSTREAM_FAILED, ("a",)))
    )
    assert message == {"node": "b", "because": "a", "message": ""}
    (replayed,) = ledger.skips()
    assert replayed == {**message, "cause": {"status": "error", "node": "a"}}


def test_another_plan_leaves_out_others():
    ledger = Ledger()
    ledger.skipped(left_out("a"))
    ledger.forget_skipped()
    assert list(ledger.skips()) == []
