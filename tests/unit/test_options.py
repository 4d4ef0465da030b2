"""Words for dbt, and back."""

import pytest

from dbtorch.service.project.dbt_options import values_of, without

WORDS = ("--select", "a", "--select", "b+", "--full-refresh", "--no-fail-fast", "--vars", "{x: 1}")


def test_words_are_read_back_as_they_were_given():
    assert values_of(WORDS) == {
        "--select": ("a", "b+"),
        "--full-refresh": ("--full-refresh",),
        "--fail-fast": ("--no-fail-fast",),
        "--vars": ("{x: 1}",),
    }
    assert values_of(()) == {}


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (set(), WORDS),
        ({"--select", "--vars"}, ("--full-refresh", "--no-fail-fast")),
        ({"--fail-fast", "--full-refresh"}, (*WORDS[:4], *WORDS[6:])),
    ],
)
def test_options_are_taken_out_with_their_values(names, left):
    assert without(WORDS, names) == left
