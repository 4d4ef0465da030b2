"""What every store promises about attempts that workers of other machines execute."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.core.errors import LeaseLost
from dbtorch.core.model.events import Attempt, Outcome
from dbtorch.core.model.offer import Offer, OfferState, QueueDepth, Standing
from dbtorch.core.model.state import FailureClass, State
from tests.stores import SUCCESS, a_lease, let_hold, let_pass, seen_by

BRIEF = timedelta(seconds=30)


def an_offer(token="t1", **given):
    values = {
        "run_id": "r1",
        "attempt": Attempt("step.load", 1),
        "queue": "crm",
        "code": "c0de",
        "told": {"vars": {"country": "Ö"}},
    }
    return Offer(token=token, **{**values, **given})


@pytest.fixture
def lease(store):
    """Of a supervisor that is at work."""
    taken, _ = store.acquire(a_lease())
    return taken


@pytest.fixture
def offered(store, lease):
    store.offer(an_offer(), lease)
    return "t1"


def states(store, lease):
    return {offer.token: offer.state for offer in store.offers(lease)}


def test_an_offer_is_claimed_by_one_worker_whatever_comes_twice(store, lease, offered):
    mine = store.claim_offer(offered, "w1", BRIEF)
    assert replace(mine, offered_at=None) == an_offer(state=OfferState.CLAIMED, worker="w1")
    assert store.claim_offer(offered, "w1", BRIEF) is None
    assert store.claim_offer(offered, "w2", BRIEF) is None
    assert store.claim_offer("unheard of", "w2", BRIEF) is None


def test_an_offer_that_is_written_twice_is_there_once(store, lease, offered):
    store.claim_offer(offered, "w1", BRIEF)
    store.offer(an_offer(), lease)
    assert states(store, lease) == {"t1": OfferState.CLAIMED}


def test_what_a_worker_says_arrives_as_it_is(store, lease, offered):
    outcome = Outcome(
        state=State.FAILED,
        message="déjà vu",
        failure_class=FailureClass.TRANSIENT,
        retry_after=7.5,
        output={"rows": 3},
        details={"exception": {"class": "Timeout"}},
    )
    store.claim_offer(offered, "w1", BRIEF)
    store.began(offered, "w1")
    assert store.report(offered, "w1", outcome)
    (said,) = store.offers(lease)
    assert (said.state, said.worker, said.outcome) == (OfferState.ENDED, "w1", outcome)
    assert said.started_at is not None


def test_nobody_reports_what_is_not_his_or_reports_it_twice(store, lease, offered):
    assert not store.report(offered, "w1", SUCCESS)  # it was not claimed
    store.claim_offer(offered, "w1", BRIEF)
    assert not store.report(offered, "w2", SUCCESS)
    assert store.report(offered, "w1", SUCCESS)
    assert not store.report(offered, "w1", replace(SUCCESS, message="again"))
    assert [offer.outcome for offer in store.offers(lease)] == [SUCCESS]


def test_a_worker_that_is_not_heard_of_is_lost_and_may_report_no_more(store, lease, offered):
    store.claim_offer(offered, "w1", timedelta(seconds=2))
    assert store.attend(offered, "w1", BRIEF) is Standing.GOES_ON
    let_pass(store, 29)
    assert states(store, lease) == {"t1": OfferState.CLAIMED}
    let_pass(store, 2)
    assert states(store, lease) == {"t1": OfferState.LOST}
    assert store.attend(offered, "w1", BRIEF) is Standing.TAKEN
    assert not store.report(offered, "w1", SUCCESS)
    assert store.claim_offer(offered, "w2", BRIEF) is None  # a new attempt is a new offer


def test_what_is_called_off_is_withdrawn_or_its_worker_hears_of_it(store, lease, offered):
    store.offer(an_offer("t2"), lease)
    store.claim_offer("t2", "w1", BRIEF)
    store.call_off(["t1", "t2"])
    assert states(store, lease) == {"t1": OfferState.WITHDRAWN, "t2": OfferState.CLAIMED}
    assert store.claim_offer("t1", "w2", BRIEF) is None
    assert store.attend("t2", "w1", BRIEF) is Standing.CALLED_OFF
    assert store.report("t2", "w1", SUCCESS)  # it may have ended by itself


@pytest.mark.parametrize("how", ["given back", "over", "taken over"])
def test_nobody_begins_or_goes_on_with_what_no_supervisor_waits_for(store, lease, offered, how):
    store.offer(an_offer("t2"), lease)
    store.claim_offer("t2", "w1", BRIEF)
    if how == "given back":
        store.release(lease)
    elif how == "over":
        let_hold(store, replace(lease, expires_at=lease.acquired_at))
    else:
        let_hold(store, replace(lease, acquired_at=lease.acquired_at + timedelta(seconds=1)))
    assert store.claim_offer("t1", "w1", BRIEF) is None
    assert store.attend("t2", "w1", BRIEF) is Standing.CALLED_OFF


def test_a_supervisor_that_was_taken_over_offers_nothing(store, lease):
    let_hold(store, replace(lease, acquired_at=lease.acquired_at + timedelta(seconds=1)))
    with pytest.raises(LeaseLost):
        store.offer(an_offer(), lease)


def test_who_goes_on_waits_for_what_workers_have_of_the_one_before(store, lease):
    for token in ("t1", "t2", "t3", "t4"):
        store.offer(an_offer(token), lease)
    for token in ("t2", "t3", "t4"):
        store.claim_offer(token, "w1", BRIEF if token != "t4" else timedelta(seconds=1))
    store.report("t3", "w1", SUCCESS)
    let_pass(store, 2)  # the worker with t4 is gone as well
    let_hold(store, replace(lease, expires_at=lease.acquired_at))
    next_one, _ = store.acquire(a_lease("r1", pid=1))
    assert [offer.token for offer in store.orphans(next_one, ())] == ["t2"]
    assert store.attend("t2", "w1", BRIEF) is Standing.CALLED_OFF
    assert store.claim_offer("t1", "w2", BRIEF) is None
    assert [offer.token for offer in store.orphans(next_one, ())] == ["t2"]
    store.report("t2", "w1", SUCCESS)
    assert store.orphans(next_one, ()) == []
    assert states(store, lease) == {}  # nothing of it is left


def test_what_others_drive_goes_on_unless_they_are_known_to_be_gone(store, lease, offered):
    store.claim_offer(offered, "w1", BRIEF)
    other, _ = store.acquire(a_lease("r2", name="shop/hourly"))
    assert store.orphans(other, ["r3"]) == []
    assert store.attend(offered, "w1", BRIEF) is Standing.GOES_ON
    assert [offer.token for offer in store.orphans(other, ["r1"])] == [offered]
    assert store.attend(offered, "w1", BRIEF) is Standing.CALLED_OFF


def test_the_log_of_an_attempt_arrives_piece_by_piece(store, lease, offered):
    store.claim_offer(offered, "w1", BRIEF)
    store.say(offered, "w1", 1, "one\n")
    store.say(offered, "w1", 2, "two \0\n")
    store.say(offered, "w1", 2, "twice")
    store.say(offered, "w2", 3, "another worker")
    assert store.said(offered, after=0) == [(1, "one\n"), (2, "two \ufffd\n")]
    assert store.said(offered, after=1) == [(2, "two \ufffd\n")]


def test_what_is_settled_is_forgotten_and_what_a_worker_has_is_not(store, lease, offered):
    store.offer(an_offer("t2"), lease)
    for token in ("t1", "t2"):
        store.claim_offer(token, "w1", BRIEF)
        store.say(token, "w1", 1, "hello")
    store.report("t1", "w1", SUCCESS)
    store.settle(["t1", "t2"])
    assert states(store, lease) == {"t2": OfferState.CLAIMED}
    assert store.said("t1", after=0) == []


def test_how_deep_queues_are(store, lease, offered):
    assert store.queue_depths() == {"crm": QueueDepth(waiting=1)}
    store.offer(an_offer("t2", queue="gpu"), lease)
    store.offer(an_offer("t3"), lease)
    store.claim_offer("t2", "w1", BRIEF)
    assert store.queue_depths() == {"crm": QueueDepth(waiting=2), "gpu": QueueDepth(claimed=1)}
    let_pass(store, 3600)  # of what nobody drives, nothing waits for a worker
    assert store.queue_depths() == {}


def test_other_projects_have_nothing_to_do_with_it(store, lease, offered):
    theirs = seen_by(store, project_id="acme/other")
    assert theirs.claim_offer(offered, "w1", BRIEF) is None
    assert theirs.queue_depths() == {}
    other, _ = theirs.acquire(a_lease("r2", name="other/default"))
    assert theirs.orphans(other, ["r1"]) == []
    assert store.claim_offer(offered, "w1", BRIEF) is not None
