"""Looks at a real server: one that is up, one that flaps, one that talks nonsense."""

import pytest

from dbtorch.adapters.conditions.http import look, problem, word_of
from dbtorch.adapters.conditions.unknown import Unknown
from tests.unit.loopback import serving


@pytest.fixture
def server():
    with serving() as one:
        yield one


def seen(server, **said):
    try:
        return look({"url": f"{server.url}/ready", **said}).words
    except Unknown as error:
        return f"unknown: {error}"


def test_a_server_that_flaps_is_neither_well_nor_not(server):
    server.says("/ready", 200, 503, 429, 204, 404, 200)
    found = [seen(server) for _ in range(6)]
    assert [one.partition(":")[0] for one in found] == [
        "holds",
        "unknown",
        "unknown",
        "holds",
        "",
        "holds",
    ]
    assert found[1].endswith("/ready answered 503")


def test_a_server_that_is_gone_says_nothing_of_itself(server):
    server.server_close()
    assert seen(server).startswith("unknown: http://127.0.0.1")


def test_an_expression_says_what_counts(server):
    server.says("/ready", (200, {}, {"version": 0}), (200, {}, {"version": 7}), (200, {}, "no"))
    found = [seen(server, until="json.version") for _ in range(3)]
    assert (found[0], found[1]) == ("", word_of(7))
    assert "which is no JSON" in found[2]
    server.says("/ready", (200, {}, {"done": True}))
    assert seen(server, until="json.done") == "holds"
    assert seen(server, until="json.other").startswith("unknown: ")


def test_what_is_sent_is_only_a_question(server, capsys):
    server.says("/ready", 200)
    seen(server, headers={"Authorization": "Bearer x"}, expect=[200])
    ((method, _, headers, _),) = server.requests
    assert (method, headers["authorization"]) == ("GET", "Bearer x")
    assert "idempotency-key" not in headers
    assert capsys.readouterr().out == ""  # serve's own lines go there


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"url": "https://x", "expect": "ok"}, "http.expect must hold statuses"),
        ({"url": "https://x", "until": "json."}, "until that is no expression"),
        ({"url": "https://x", "timeout": "soon"}, "http.timeout is 'soon'"),
    ],
)
def test_what_can_never_be_asked_is_told_before(said, why):
    assert why in problem(said)
