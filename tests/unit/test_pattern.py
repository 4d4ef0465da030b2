"""A pattern means what Python says it means, and never takes long."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.failures.pattern import LONGEST, PatternError, check_pattern, says
from dbtorch.core.model.state import FailureClass

_ATOMS = st.sampled_from(
    [
        *("a", "b", "K", "é", " ", ".", r"\d", r"\W", r"\s", "[a-c]", "[^a]", r"[^\d\s]", "[b-]"),
        *("^", "$", r"\b", r"\B", r"\A", r"\Z", "(?s:.)", "(?m:^)", "(?m:$)", ""),
    ]
)
PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        )
    ),
    max_leaves=6,
)
TEXTS = st.text(alphabet="abcABkKéÉ01 _-\n", max_size=8)


@given(PATTERNS, TEXTS)
def test_a_pattern_means_what_it_means_to_python(pattern, text):
    check_pattern(pattern)
    assert says(pattern, text) is (re.search(pattern, text, re.IGNORECASE) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|a)*b$",
        "(a+)+$!",
        "(.*)*x",
        ".*.*.*.*x",
        "(a?){30}a{30}b",
        "((a*)*)*b",
        r"(\w+\s?)*!",
    ],
)
def test_no_pattern_takes_long(pattern):
    check_pattern(pattern)
    began = time.process_time()
    assert not says(pattern, "a" * 100_000)
    assert time.process_time() - began < 20  # with `re`, the age of the universe


def test_a_word_is_found_wherever_it_is_and_a_repetition_near_the_beginning():
    assert says("needle", "x" * 10 * LONGEST + "NEEDLE")
    assert says("need+le", "NEEDLE" + "x" * 10 * LONGEST)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)b", "looks ahead"),
        (r"(a)\1", "refers to a group"),
        ("(?>a)b", "without giving back"),
        ("(a{1000}){1000}", "steps"),
        ("a{1,5000}", "steps"),
        ("(", "unterminated"),
        ("a{99999999999}", "repetition"),
        ("(?P<a", "missing"),
    ],
)
def test_what_cannot_be_followed_is_refused(pattern, why):
    with pytest.raises(PatternError, match=why):
        check_pattern(pattern)


def test_no_pattern_of_a_user_stops_a_run():
    rule = Rule(failure_class=FailureClass.DATA, message="(a|a)*b$")
    assert classify([{"message": "a" * 5000}], "a" * 5000, [rule]) is FailureClass.UNKNOWN


def test_a_whole_table_is_looked_up_in_no_time():
    began = time.process_time()
    for word in ("connection to server ", "HTTP ", " ", "a", "could not "):
        text = word * 100_000
        assert classify([{"message": text}], text) is not None
    assert time.process_time() - began < 20
