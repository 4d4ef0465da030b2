"""A pull request and the comment at it, against a server that behaves like three forges."""

from collections.abc import Iterator

import pytest

from dbtorch.adapters.forges import Forge, ForgeError, forge_of, is_open, post_comment
from dbtorch.service.ci.cleanup import AskedForge
from tests.forge_server import TOKEN, ForgeServer, forge_server

MARKER = "<!-- dbtorch ci shop 12 -->"
FIRST, SECOND = f"{MARKER}\nfirst", f"{MARKER}\nsecond"


@pytest.fixture
def server() -> Iterator[ForgeServer]:
    with forge_server() as found:
        yield found


def environ(kind: str, server: ForgeServer, token: str = TOKEN) -> dict[str, str]:
    return {
        "github": {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": server.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_TOKEN": token,
        },
        "gitlab": {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": server.url,
            "CI_PROJECT_ID": "acme/shop",
            "GITLAB_TOKEN": token,
        },
        "bitbucket": {
            "BITBUCKET_BUILD_NUMBER": "1",
            "BITBUCKET_API_URL": server.url,
            "BITBUCKET_REPO_FULL_NAME": "acme/shop",
            "BITBUCKET_TOKEN": token,
        },
    }[kind]


@pytest.fixture
def github(server: ForgeServer) -> Forge:
    return forge_of(environ("github", server), "12")


# a forge, where its comments are, and how one is updated
KINDS = [
    ("github", "/repos/acme/shop/issues/12/comments", "PATCH /repos/acme/shop/issues/comments/5"),
    (
        "gitlab",
        "/projects/acme%2Fshop/merge_requests/12/notes",
        "PUT /projects/acme%2Fshop/merge_requests/12/notes/5",
    ),
    (
        "bitbucket",
        "/repositories/acme/shop/pullrequests/12/comments",
        "PUT /repositories/acme/shop/pullrequests/12/comments/5",
    ),
]


def posted(forge: Forge, text: str, **more) -> tuple[bool, list[float]]:
    waited: list[float] = []
    return post_comment(forge, MARKER, text, pause=waited.append, **more), waited


@pytest.mark.parametrize(("kind", "comments", "update"), KINDS)
def test_there_is_one_comment_however_often_it_is_posted(server, kind, comments, update):
    for text in ("hello", f"> {MARKER} quoted", "x", "y"):  # two pages of others
        server.say(text)
    forge = forge_of(environ(kind, server), "12")
    assert posted(forge, FIRST, create=False) == (False, [])
    assert posted(forge, FIRST) == (True, [])
    assert server.calls[-1] == f"POST {comments}"
    assert posted(forge, SECOND) == (True, [])
    assert server.calls[-1] == update
    assert server.said() == ["hello", f"> {MARKER} quoted", "x", "y", SECOND]


# an answer that passes, and how many seconds are waited
PASSING = [
    ((500, {}, {}), 1.0),
    ((502, {"Retry-After": "7"}, {}), 7.0),
    ((429, {}, {"message": "slow down"}), 1.0),
    ((403, {"Retry-After": "3"}, {"message": "You have exceeded a secondary rate limit"}), 3.0),
    ((403, {}, {"message": "You have exceeded a secondary rate limit"}), 1.0),
    ((403, {"X-RateLimit-Remaining": "0"}, {}), 1.0),
]


@pytest.mark.parametrize(("trouble", "seconds"), PASSING)
def test_what_passes_is_tried_again(server, github, trouble, seconds):
    server.trouble = [trouble]
    assert posted(github, FIRST) == (True, [seconds])
    server.trouble = [None, trouble]  # the second exchange
    assert posted(github, SECOND) == (True, [seconds])
    assert server.said() == [SECOND]


def test_a_comment_that_came_to_be_unheard_is_found_again(server, github):
    server.after_posting = lambda: (502, {}, {})
    assert posted(github, FIRST) == (True, [1.0])
    assert server.said() == [FIRST]


# an answer that stays, and what is said
STAYING = [
    ((403, {}, {"message": "Resource not accessible"}), "Resource not accessible; give the token"),
    ((404, {}, {"message": "Not Found"}), "Not Found; see that the token may read"),
    ((422, {}, {"message": "Validation Failed"}), "Validation Failed; the comment is too long"),
    ((400, {}, {}), "answers 400 Bad Request: no reason; see what it says"),
    ((429, {"Retry-After": "3600"}, {}), "answers 429"),
]


@pytest.mark.parametrize(("trouble", "said"), STAYING)
def test_what_stays_is_said_and_not_tried_again(server, github, trouble, said):
    server.trouble = [trouble] * 2
    with pytest.raises(ForgeError, match=said):
        posted(github, FIRST)
    assert len(server.calls) == 1
    assert server.said() == []


def test_it_is_not_tried_for_ever(server, github):
    server.trouble = [(503, {}, {})] * 9
    waited: list[float] = []
    with pytest.raises(ForgeError, match="GitHub answers 503"):
        post_comment(github, MARKER, FIRST, pause=waited.append)
    assert waited == [1.0, 2.0, 4.0]


def test_a_second_comment_is_not_made_where_nobody_has_seen_all_of_them(server, github):
    for number in range(2 * 101):
        server.say(str(number))
    with pytest.raises(ForgeError, match="more comments than dbtorch looks through"):
        posted(github, FIRST)
    times = iter(range(0, 10_000, 50))  # each page takes 50 s
    with pytest.raises(ForgeError, match="takes too long to list the comments"):
        post_comment(github, MARKER, FIRST, pause=lambda _: None, clock=lambda: next(times))
    assert FIRST not in server.said()


def test_a_forge_that_is_down_is_not_asked_about_each_pull_request(server):
    server.trouble = [(503, {}, {})] * 9
    asked = AskedForge(environ("github", server), lambda _: None)
    for pr in ("1", "2", "3"):
        assert f"pull request {pr} is open: GitHub answers 503" in asked.keeps(pr)
    assert len(server.calls) == 4


def test_the_token_goes_to_nobody_else(server, github):
    for text in ("a", "b", "c"):
        server.say(text)
    server.next_at = "http://elsewhere.example/comments?page=2"
    with pytest.raises(ForgeError, match="names a next page that is elsewhere"):
        posted(github, FIRST)


def test_a_wrong_token_is_said_and_not_shown(server):
    forge = forge_of(environ("github", server, token="hunter2"), "12")
    with pytest.raises(ForgeError, match="answers 401") as refused:
        posted(forge, FIRST)
    assert "hunter2" not in str(refused.value)
    forge = forge_of(environ("github", server, token="hunter\n2"), "12")
    with pytest.raises(ForgeError) as refused:
        posted(forge, FIRST)
    assert "hunter" not in str(refused.value)


def test_nobody_there_is_said(server):
    known = {**environ("github", server), "GITHUB_API_URL": "http://127.0.0.1:1"}
    with pytest.raises(ForgeError, match="GitHub is not reached"):
        posted(forge_of(known, "12"), FIRST)


def test_a_job_without_a_token_or_a_forge_is_said(server):
    with pytest.raises(ForgeError, match="a pull request from a fork has none"):
        forge_of({**environ("github", server), "GITHUB_TOKEN": ""}, "12")
    with pytest.raises(ForgeError, match="this is no job of GitHub, GitLab or Bitbucket"):
        forge_of({}, "12")
    own = forge_of({**environ("gitlab", server, token=""), "DBTORCH_CI_TOKEN": TOKEN}, "12")
    assert posted(own, FIRST) == (True, [])


# a forge, where a pull request is, what it says of one that is open, and of others
STATES = [
    ("github", "/repos/acme/shop/pulls/12", "open", ["closed"]),
    ("gitlab", "/projects/acme%2Fshop/merge_requests/12", "opened", ["merged", "closed"]),
    ("bitbucket", "/repositories/acme/shop/pullrequests/12", "OPEN", ["MERGED", "DECLINED"]),
]


@pytest.mark.parametrize(("kind", "path", "open", "others"), STATES)
def test_a_forge_says_whether_a_pull_request_is_open(server, kind, path, open, others):
    forge = forge_of(environ(kind, server), "12")
    waited: list[float] = []
    server.pulls = {"12": open}
    server.trouble = [(503, {}, {})]
    assert is_open(forge, pause=waited.append)
    assert (waited, server.calls) == ([1.0], [f"GET {path}"] * 2)
    for state in others:
        server.pulls = {"12": state}
        assert not is_open(forge, pause=waited.append)
    server.pulls = {"12": "in review"}  # no forge says so today
    with pytest.raises(ForgeError, match="says that the pull request is in review"):
        is_open(forge, pause=waited.append)
    server.pulls = {}
    with pytest.raises(ForgeError, match="answers 404"):
        is_open(forge, pause=waited.append)
