"""What every store promises about batches of microbatch models."""

from datetime import UTC, datetime

import pytest

from dbtorch.core.errors import StoreError
from dbtorch.core.model.events import Attempt, MicrobatchBuilt, MicrobatchesPlanned
from tests.stores import a_node, a_run

MODEL = "model.shop.days"


def a_day(number):
    return datetime(2026, 3, number, tzinfo=UTC), datetime(2026, 3, number + 1, tzinfo=UTC)


def planned(*days, attempt=1, node=MODEL):
    return MicrobatchesPlanned(Attempt(node, attempt), tuple(map(a_day, days)))


def built(day, attempt=1, node=MODEL):
    return MicrobatchBuilt(Attempt(node, attempt), a_day(day))


def begun(store, run_id="r1"):
    store.begin(a_run(run_id), [a_node(MODEL)])
    return store


def test_what_is_planned_and_what_is_built_is_kept(store):
    begun(store)
    assert store.microbatches("r1") == {}
    store.note("r1", [planned(2, 1, 3), built(2)])
    assert store.microbatches("r1") == {MODEL: {a_day(1): False, a_day(2): True, a_day(3): False}}
    store.note("r1", [built(1)])
    store.note("r1", [planned(3, attempt=2)])
    assert store.microbatches("r1") == {MODEL: {a_day(1): True, a_day(2): True, a_day(3): False}}


def test_what_is_planned_once_more_is_not_built(store):
    begun(store).note("r1", [planned(1, 2), built(1)])
    store.note("r1", [planned(1, 2, attempt=2), built(2, attempt=2)])
    assert store.microbatches("r1") == {MODEL: {a_day(1): False, a_day(2): True}}


def test_what_was_never_planned_is_not_built(store):
    begun(store).note("r1", [built(1), planned(2)])
    assert store.microbatches("r1") == {MODEL: {a_day(2): False}}


def test_a_model_that_begins_anew_has_built_nothing(store):
    other = "model.shop.others"
    begun(store).note("r1", [planned(1), built(1), planned(1, node=other), built(1, node=other)])
    store.begin(a_run(), [a_node(MODEL)], anew=[MODEL, "model.shop.nobody"])
    assert store.microbatches("r1") == {MODEL: {a_day(1): False}, other: {a_day(1): True}}


def test_runs_have_batches_of_their_own(store):
    begun(store).note("r1", [planned(1)])
    begun(store, "r2")
    assert store.microbatches("r2") == store.microbatches("nowhere") == {}
    with pytest.raises(StoreError, match="no run nowhere"):
        store.note("nowhere", [planned(1)])
