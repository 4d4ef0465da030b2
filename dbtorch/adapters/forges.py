"""A pull request of GitHub, GitLab or Bitbucket: whether it is open, and one comment at it."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.parse import quote

from dbtorch.adapters.exchange import Answer, Budget, exchange

#: Seconds for one exchange, and bytes of an answer.
_TIMEOUT, _MOST = 30.0, 8 * 1024 * 1024

#: Tries, pages of comments that are looked at, and the longest wait between two tries.
_TRIES, _PAGES, _LONGEST = 4, 100, 60.0

#: Seconds after which no more pages of comments are asked for.
_PATIENCE = 120.0

_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class ForgeError(Exception):
    """The forge does not do what it is asked for; the text says why in one sentence."""


class ForgeDown(ForgeError):
    """It does not answer, however often it is asked."""


class _Later(Exception):
    """It may work after some seconds."""

    def __init__(self, why: str, seconds: float | None) -> None:
        super().__init__(why)
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """How a forge keeps one pull request, and the comments at it."""

    name: str
    pull: str  # URL of the pull request
    comments: str  # URL of all of them
    one: str  # URL of one, with {id}
    update: str  # method
    page: str  # parameter for the size of a page
    headers: Mapping[str, str]

    def body(self, text: str) -> dict[str, Any]:
        """What is sent for a comment."""
        return {"content": {"raw": text}} if self.name == "Bitbucket" else {"body": text}

    def text(self, comment: Mapping[str, Any]) -> str:
        """What a comment says."""
        if self.name == "Bitbucket":
            return str((comment.get("content") or {}).get("raw") or "")
        return str(comment.get("body") or "")


def forge_of(environ: Mapping[str, str], pr: str) -> Forge:
    """The forge whose CI this environment is of. Raises `ForgeError`."""
    own = environ.get("DBTORCH_CI_TOKEN", "")
    if environ.get("GITHUB_ACTIONS") == "true":
        api = environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        repository = f"{api}/repos/{_said(environ, 'GITHUB_REPOSITORY')}"
        top = f"{repository}/issues"
        return Forge(
            name="GitHub",
            pull=f"{repository}/pulls/{quote(pr)}",
            comments=f"{top}/{quote(pr)}/comments",
            one=f"{top}/comments/{{id}}",
            update="PATCH",
            page="per_page",
            headers={
                "Authorization": f"Bearer {own or _token(environ, 'GITHUB_TOKEN')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
    if environ.get("GITLAB_CI") == "true":
        project = quote(_said(environ, "CI_PROJECT_ID"), safe="")
        api = _said(environ, "CI_API_V4_URL").rstrip("/")
        pull = f"{api}/projects/{project}/merge_requests/{quote(pr)}"
        top = f"{pull}/notes"
        token = own or _token(environ, "GITLAB_TOKEN")
        return Forge(
            name="GitLab",
            pull=pull,
            comments=top,
            one=f"{top}/{{id}}",
            update="PUT",
            page="per_page",
            headers={"PRIVATE-TOKEN": token},
        )
    if "BITBUCKET_BUILD_NUMBER" in environ:
        api = environ.get("BITBUCKET_API_URL", "https://api.bitbucket.org/2.0").rstrip("/")
        repository = _said(environ, "BITBUCKET_REPO_FULL_NAME")
        pull = f"{api}/repositories/{repository}/pullrequests/{quote(pr)}"
        top = f"{pull}/comments"
        token = own or _token(environ, "BITBUCKET_TOKEN")
        return Forge(
            name="Bitbucket",
            pull=pull,
            comments=top,
            one=f"{top}/{{id}}",
            update="PUT",
            page="pagelen",
            headers={"Authorization": f"Bearer {token}"},
        )
    raise ForgeError("this is no job of GitHub, GitLab or Bitbucket, which say who is to be asked")


def post_comment(
    forge: Forge,
    marker: str,
    text: str,
    *,
    pause: Callable[[float], None],
    create: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Update the comment that begins with ``marker``, or ``create`` it; answers whether.

    Each try looks for it again: one that a broken connection has left is updated. Raises
    `ForgeError`.
    """
    over_by = clock() + _PATIENCE

    def once() -> bool:
        found = _find(forge, marker, lambda: clock() > over_by)
        if found is None and not create:
            return False
        if found is None:
            _ask(forge, "POST", forge.comments, forge.body(text))
        else:
            _ask(forge, forge.update, forge.one.format(id=found), forge.body(text))
        return True

    return _patiently(once, pause)


def is_open(forge: Forge, *, pause: Callable[[float], None]) -> bool:
    """Whether the pull request is open: neither merged nor closed. Raises `ForgeError`."""

    def once() -> bool:
        said = _read(forge, _ask(forge, "GET", forge.pull, None))
        state = str(said.get("state") or "").lower() if isinstance(said, dict) else ""
        if state not in _STATES:
            raise ForgeError(f"{forge.name} says that the pull request is {state or 'nothing'}")
        return _STATES[state]

    return _patiently(once, pause)


#: What forges call the state of a pull request, and whether it is open.
_STATES = {
    **dict.fromkeys(("open", "opened", "locked"), True),
    **dict.fromkeys(("closed", "merged", "declined", "superseded"), False),
}


def _patiently(work: Callable[[], bool], pause: Callable[[float], None]) -> bool:
    """Do it, and again where that may help. Raises `ForgeError`."""
    number = 1
    while True:
        try:
            return work()
        except _Later as error:
            wait = error.seconds if error.seconds is not None else 2.0 ** (number - 1)
            if number == _TRIES or wait > _LONGEST:
                raise ForgeDown(str(error)) from error
            pause(wait)
            number += 1


def _find(forge: Forge, marker: str, is_late: Callable[[], bool]) -> str | None:
    for comment in _comments(forge, is_late):
        if forge.text(comment).startswith(marker):
            return str(comment["id"])
    return None


def _comments(forge: Forge, is_late: Callable[[], bool]) -> Iterator[Mapping[str, Any]]:
    url: str | None = f"{forge.comments}?{forge.page}=100"
    for _ in range(_PAGES):
        if url is None:
            return
        if is_late():  # without all of them nobody knows whether ours is there
            raise ForgeError(f"{forge.name} takes too long to list the comments")
        if not url.startswith(f"{forge.comments}?"):  # the token is for nobody else
            raise ForgeError(f"{forge.name} names a next page that is elsewhere: {url}")
        answer = _ask(forge, "GET", url, None)
        said = _read(forge, answer)
        listed = said.get("values") if isinstance(said, dict) else said
        yield from (one for one in listed or () if isinstance(one, dict) and "id" in one)
        link = _NEXT.search(answer.headers.get("link", ""))
        url = link[1] if link else said.get("next") if isinstance(said, dict) else None
    if url is not None:
        raise ForgeError(f"{forge.name} has more comments than dbtorch looks through")


def _read(forge: Forge, answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        raise _Later(f"{forge.name} answers with something that is no JSON", None) from None


def _ask(forge: Forge, method: str, url: str, body: Mapping[str, Any] | None) -> Answer:
    """One exchange that succeeded. Raises `ForgeError`, `_Later`."""
    data = None if body is None else json.dumps(body).encode()
    headers = {**forge.headers, "Content-Type": "application/json", "User-Agent": "dbtorch"}
    try:
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
        with Budget(_TIMEOUT) as budget:
            answer = exchange(request, budget, most=_MOST)
    except (ValueError, http.client.InvalidURL):  # Python's own text would quote the token
        raise ForgeError(f"the URL or token of {forge.name} is none") from None
    except (URLError, OSError, http.client.HTTPException) as error:
        raise _Later(f"{forge.name} is not reached: {error}", None) from error
    if answer.status < 300:
        return answer
    why = f"{forge.name} answers {answer.status} {answer.reason}: {_message(answer)}"
    limited = answer.status == 429 or _is_limit(answer)
    if limited or answer.status >= 500:
        raise _Later(why, _wait(answer))
    raise ForgeError(f"{why}; {_ADVICE.get(answer.status, 'see what it says')}")


#: What to do about an answer.
_ADVICE = {
    401: "give the job another token",
    403: "give the token the right to read pull requests and write comments (pull-requests: write)",
    404: "see that the token may read the repository, and that the pull request is there",
    422: "the comment is too long or the pull request is locked",
}


def _is_limit(answer: Answer) -> bool:
    """Whether a 403 is one of too many requests; GitHub's secondary limits are."""
    if answer.status != 403:
        return False
    gone = answer.headers.get("x-ratelimit-remaining") == "0"
    return gone or "retry-after" in answer.headers or "rate limit" in _message(answer).lower()


def _wait(answer: Answer) -> float | None:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else None


def _message(answer: Answer) -> str:
    try:
        said = json.loads(answer.body)
    except ValueError:
        return "no reason"
    found = said.get("message") or said.get("error") if isinstance(said, dict) else None
    if isinstance(found, dict):
        found = found.get("message")
    return " ".join(str(found or "no reason").split())[:300]


def _said(environ: Mapping[str, str], name: str) -> str:
    found = environ.get(name)
    if not found:
        raise ForgeError(f"{name} is not set, which the CI system does in its jobs")
    return found


def _token(environ: Mapping[str, str], name: str) -> str:
    found = environ.get(name)
    if not found:
        raise ForgeError(
            f"there is no token: give the job {name} or DBTORCH_CI_TOKEN (a pull request from a"
            " fork has none)"
        )
    return found
