"""What has happened since a pipeline was last started by it."""

from datetime import timedelta

import pytest

from dbtorch.core.schedule.cause import CauseKind
from dbtorch.core.schedule.condition import Condition, TriggerSpec
from dbtorch.core.schedule.news import Observation, TriggerState, fired, fires_at, noted
from tests.stores import NOON

FILES, QUERY, STAGING = Condition(file="in/"), Condition(sql="select 1"), Condition(pipeline="s")
SECOND = timedelta(seconds=1)


class Watched:
    """A trigger, looked at again and again."""

    def __init__(self, spec):
        self.spec, self.state, self.now = spec, TriggerState(), NOON

    def see(self, one, words, *, seconds=1, **more):
        """What a look finds; answers what a run starts by, if one does."""
        self.now += seconds * SECOND
        found = {one.key: Observation(words=words, **more)} if one is not None else {}
        self.state = noted(self.spec, TriggerState.of_text(self.state.to_text()), found, self.now)
        at = fires_at(self.spec, self.state)
        if at is None or at > self.now:
            return None
        self.state, cause = fired(self.spec, self.state)
        return cause


def test_what_is_there_at_first_is_no_news():
    one = Watched(TriggerSpec(all=(FILES,)))
    assert one.see(FILES, "a b") is None
    assert one.see(FILES, "a b c", text="file c").text == "file c"
    assert one.see(FILES, "a b c") is None


def test_what_is_moved_away_is_no_news_and_is_some_when_it_comes_back():
    one = Watched(TriggerSpec(all=(FILES,)))
    one.see(FILES, "a b")
    assert one.see(FILES, "b") is None
    assert one.see(FILES, "") is None
    assert one.see(FILES, "a").kind is CauseKind.FILE


def test_what_only_settles_again_is_no_news():
    one = Watched(TriggerSpec(all=(FILES,)))
    one.see(FILES, "a b")
    assert one.see(FILES, "b", pending="a") is None  # a server that has just started
    assert one.see(FILES, "a b") is None
    assert one.see(FILES, "a b", pending="c") is None
    assert one.see(FILES, "a b c") is not None


@pytest.mark.parametrize(
    ("words", "fires"),
    [
        (["", "holds", "holds", "", "holds"], [1, 4]),  # each time that it comes true
        (["1", "1", "2", "2", "1"], [2, 4]),  # each time that it is another one
    ],
)
def test_a_value_counts_when_it_changes(words, fires):
    one = Watched(TriggerSpec(all=(QUERY,)))
    found = [place for place, word in enumerate(words) if one.see(QUERY, word)]
    assert found == fires


def test_what_could_not_be_told_changes_nothing():
    one = Watched(TriggerSpec(all=(QUERY,)))
    one.see(QUERY, "holds")
    assert one.see(None, "") is None  # a server that flaps
    assert one.see(QUERY, "holds") is None


def test_all_wait_for_each_other_and_any_for_none():
    every = Watched(TriggerSpec(all=(FILES, STAGING)))
    for one in (FILES, STAGING):
        every.see(one, "")
    assert every.see(FILES, "a", text="file a") is None
    assert every.see(STAGING, "r1", text="s ended").text == "file a and s ended"
    assert every.see(STAGING, "r2") is None  # the file was used up
    some = Watched(TriggerSpec(any=(FILES, STAGING)))
    for one in (FILES, STAGING):
        some.see(one, "")
    assert some.see(FILES, "a").kind is CauseKind.FILE
    assert some.see(STAGING, "r1").kind is CauseKind.PIPELINE


def test_what_does_not_hold_any_more_is_waited_for_again():
    every = Watched(TriggerSpec(all=(QUERY, STAGING)))
    for one in (QUERY, STAGING):
        every.see(one, "")
    every.see(QUERY, "holds")
    every.see(QUERY, "")
    assert every.see(STAGING, "r1") is None
    assert every.see(QUERY, "holds").kind is CauseKind.SEVERAL


def test_many_at_once_start_one_run_when_they_have_ended():
    one = Watched(TriggerSpec(all=(FILES,), debounce=10.0))
    one.see(FILES, "")
    words = ""
    for name in "abcde":
        words += f" {name}"
        assert one.see(FILES, words, seconds=5) is None
    assert one.see(None, "", seconds=9) is None
    assert one.see(None, "", seconds=1) is not None
    assert one.see(None, "", seconds=60) is None


def test_what_never_ends_starts_a_run_all_the_same():
    one = Watched(TriggerSpec(all=(FILES,), debounce=10.0))
    one.see(FILES, "")
    fires = [n for n in range(60) if one.see(FILES, f"f{n}", seconds=5)]
    assert fires == [20, 41]  # after a hundred seconds


def test_what_another_trigger_knew_is_forgotten_and_what_nobody_can_read_as_well():
    one = Watched(TriggerSpec(all=(FILES,)))
    one.see(FILES, "a")
    one.spec = TriggerSpec(all=(QUERY,))
    assert one.see(QUERY, "1") is None  # it is new, and what it says is no news
    assert list(one.state.seen) == [QUERY.key]
    for broken in ("[", "[]", '{"news": {"a": 1}}', '{"seen": 1}'):
        assert TriggerState.of_text(broken) == TriggerState()
