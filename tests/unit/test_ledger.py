"""What a worker's replacement is told."""

from datetime import UTC, datetime

from dbtorch.adapters.dbt.ledger import Ledger
from dbtorch.core.events import Changed
from dbtorch.core.state import State


def left_out(id, state=State.SKIPPED, *, reason="", cause=""):
    return Changed(
        node_id=id,
        attempt=0,
        before=State.PENDING,
        state=state,
        at=datetime(2026, 3, 1, tzinfo=UTC),
        reason=reason,
        cause=cause,
    )


def test_the_last_result_of_each_node_counts():
    ledger = Ledger()
    ledger.adopt({"a": {"status": "success"}, "b": {"status": "pass"}})
    ledger.ended("a", {"status": "error"})
    assert ledger.results() == [
        {"status": "error", "node": "a"},
        {"status": "pass", "node": "b"},
    ]


def test_hooks_of_an_earlier_stretch_run_again():
    ledger = Ledger()
    ledger.adopt({"operation.start": {"status": "success"}})
    assert ledger.hooks_done == []
    ledger.hook_ended("operation.start", {"status": "success"})
    assert ledger.hooks_done == ["operation.start"]


def test_what_a_worker_took_with_it_is_an_error():
    ledger = Ledger()
    ledger.lost("a", "the dbt worker died")
    (result,) = ledger.results()
    assert (result["status"], result["message"]) == ("error", "the dbt worker died")


def test_batches_that_succeeded_are_not_run_again():
    ledger = Ledger()
    batches = {"successful": [["2026-01-01"]], "failed": [["2026-01-02"]]}
    ledger.ended("a", {"status": "partial success", "batch_results": batches})
    assert ledger.batches_to_go_on_from("a") == batches
    ledger.lost("a", "the dbt worker died")  # in its second attempt
    assert ledger.batches_to_go_on_from("a") == batches


def test_all_batches_are_run_where_none_succeeded():
    ledger = Ledger()
    ledger.ended("a", {"batch_results": {"successful": [], "failed": [["2026-01-01"]]}})
    ledger.ended("b", {"batch_results": None})
    for id in ("a", "b", "never seen"):
        assert ledger.batches_to_go_on_from(id) is None


def test_a_reason_to_skip_is_told_of_all_that_is_left_out_for_it():
    ledger = Ledger()
    first = ledger.skipped(left_out("a", reason="Skipping due to fail_fast"))
    second = ledger.skipped(left_out("b", reason="a was skipped", cause="a"))
    assert [first["message"], second["message"]] == ["Skipping due to fail_fast"] * 2


def test_what_failed_upstream_is_for_dbt_to_say():
    ledger = Ledger()
    ledger.ended("a", {"status": "error"})
    message = ledger.skipped(left_out("b", State.UPSTREAM_FAILED, reason="a failed", cause="a"))
    assert message == {"node": "b", "because": "a", "message": ""}
    (replayed,) = ledger.skips()
    assert replayed == {**message, "cause": {"status": "error", "node": "a"}}


def test_another_plan_leaves_out_others():
    ledger = Ledger()
    ledger.skipped(left_out("a"))
    ledger.forget_skipped()
    assert list(ledger.skips()) == []
