"""Which pull request this is, by what CI systems put into the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_GITHUB_REF = re.compile(r"refs/pull/(\d+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiPlace:
    """Where a pull request is looked at."""

    forge: str = ""  # github, gitlab, bitbucket, azure; empty where nobody knows
    pr: str = ""
    base: str = ""  # commit or branch that it is to be merged into, as git knows it here


def place_of(environ: Mapping[str, str]) -> CiPlace:
    """The place that an environment describes."""
    if environ.get("GITHUB_ACTIONS") == "true":
        found = _GITHUB_REF.match(environ.get("GITHUB_REF", ""))
        base = _branch(environ.get("GITHUB_BASE_REF", ""))
        return CiPlace(forge="github", pr=found[1] if found else "", base=base)
    if environ.get("GITLAB_CI") == "true":
        branch = _branch(environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""))
        base = environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or branch
        return CiPlace(forge="gitlab", pr=environ.get("CI_MERGE_REQUEST_IID", ""), base=base)
    if "BITBUCKET_BUILD_NUMBER" in environ:
        base = _branch(environ.get("BITBUCKET_PR_DESTINATION_BRANCH", ""))
        return CiPlace(forge="bitbucket", pr=environ.get("BITBUCKET_PR_ID", ""), base=base)
    if environ.get("TF_BUILD") == "True":
        number = environ.get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER")
        pr = number or environ.get("SYSTEM_PULLREQUEST_PULLREQUESTID", "")
        target = environ.get("SYSTEM_PULLREQUEST_TARGETBRANCH", "")
        return CiPlace(forge="azure", pr=pr, base=_branch(target.removeprefix("refs/heads/")))
    return CiPlace()


def fork_of(environ: Mapping[str, str], event: Mapping[str, Any]) -> str:
    """The repository that a pull request comes from, where it is another one; else empty.

    ``event`` is what GitHub says of what has happened.
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        pull = event.get("pull_request") or {}
        names = [_repository(pull, side) for side in ("head", "base")]
        return names[0] if pull and names[0] != names[1] else ""
    if environ.get("GITLAB_CI") == "true":
        source = environ.get("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", "")
        return source if source != environ.get("CI_MERGE_REQUEST_PROJECT_PATH", source) else ""
    if environ.get("SYSTEM_PULLREQUEST_ISFORK", "").lower() == "true":
        return environ.get("SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI") or _GONE
    return ""


#: A repository that was deleted after the pull request was made.
_GONE = "that is no longer there"


def _repository(pull: Mapping[str, Any], side: str) -> str:
    repository = (pull.get(side) or {}).get("repo") or {}
    return str(repository.get("full_name") or _GONE)


def _branch(name: str) -> str:
    return f"origin/{name}" if name else ""
