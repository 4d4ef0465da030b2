"""Durations as people write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.core.text.durations import LONGEST, seconds, text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (90, 90),
        (1.5, 1.5),
        ("30s", 30),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4.5s", 93_784.5),
        (" 1h 30m ", 5400),  # spaces help the eye
        ("0.5h", 1800),
    ],
)
def test_what_is_accepted(written, expected):
    assert seconds(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "h",
        "90",  # of what?
        "30m1h",  # the wrong way round
        "1h1h",
        "1w",
        "-1s",
        "1e3s",
        "\u0661s",  # a digit, but not one of ours
        "1H",
        -1,
        True,
        None,
        [1],
        float("nan"),
        float("inf"),
        10**400,  # larger than a float
        "999999999999999d",
    ],
)
def test_what_is_not(written):
    with pytest.raises(ValueError, match="a duration is"):
        seconds(written)


@settings(deadline=None)
@given(st.integers(0, int(LONGEST)) | st.decimals(0, 1_000_000, places=3).map(float))
def test_what_is_written_is_read_again(duration):
    assert seconds(text(duration)) == pytest.approx(duration, abs=1e-9)
