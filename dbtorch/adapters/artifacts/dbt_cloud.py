"""dbt's files of the newest success of a job of the dbt platform, to be read."""

from __future__ import annotations

import http.client
import re
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from dbtorch.adapters.exchange import Budget, exchange
from dbtorch.core.text.from_outside import Unreadable, json_value, whole
from dbtorch.ports.artifacts import ArtifactMissing, ArtifactsError

#: The address of a job's page.
_PAGE = re.compile(r"(https?://[^/?#@\s]+)/deploy/(\d+)/projects/\d+/jobs/(\d+)/?")

_TOKEN = "DBT_CLOUD_API_TOKEN"  # noqa: S105  # the name of a variable

#: Seconds of one request, and bytes of an answer: of the largest projects a manifest has 500 MB.
_SECONDS, _MOST = 300.0, 1 << 30

#: How the platform numbers the state of a run that succeeded, and the largest number of one.
_SUCCESS, _LARGEST = 10, 2**63 - 1


def of_job(url: str, environ: Mapping[str, str]) -> JobArtifacts | None:
    """What the address of a job's page names; None where it is none."""
    found = _PAGE.fullmatch(url)
    if found is None:
        return None
    server, account, job = found.groups()
    api = f"{server}/api/v2/accounts/{account}"
    return JobArtifacts(url.rstrip("/"), api, job, environ.get(_TOKEN, "").strip())


class JobArtifacts:
    """Implements `Artifacts` for a reader: what is directly there, and no runs."""

    parallel = 1

    def __init__(self, url: str, api: str, job: str, token: str) -> None:
        self.url = url
        self._api = api
        self._job = job
        self._token = token
        self._run = 0

    def get(self, run_id: str, name: str, to: Path) -> None:
        """Write a file of the newest success to a path. Raises `ArtifactMissing`."""
        if run_id:
            raise ArtifactMissing(f"{self.url} has dbt's files, and no {run_id}/{name}")
        self._run = self._run or self._newest()
        to.write_bytes(self._asked(f"runs/{self._run}/artifacts/{name}"))

    def sizes(self, run_id: str) -> Mapping[str, int]:
        """Nobody asks."""
        return {}

    def runs(self) -> list[str]:
        """None that dbtorch has published."""
        return []

    def written_at(self, run_id: str) -> datetime | None:
        """Its manifest says."""
        return None

    def put(self, run_id: str, name: str, chunks: Iterable[bytes]) -> NoReturn:
        """Nothing is kept there."""
        raise ArtifactsError(f"{self.url} is read only")

    def remove(self, run_id: str) -> NoReturn:
        """Nothing is removed there."""
        raise ArtifactsError(f"{self.url} is read only")

    def _newest(self) -> int:
        """The newest run that succeeded, so that all files are of one."""
        which = f"job_definition_id={self._job}&status={_SUCCESS}&order_by=-id&limit=1"
        try:
            said = json_value(self._asked(f"runs/?{which}"))
        except Unreadable as error:
            raise ArtifactsError(f"the answer about {self.url} is not JSON: {error}") from None
        except ArtifactMissing as error:  # an account that nobody has
            raise ArtifactsError(str(error)) from None
        data = said.get("data") if isinstance(said, dict) else None
        if data == []:
            raise ArtifactsError(f"no run of the job {self.url} has succeeded")
        first = data[0] if isinstance(data, list) else None
        told = first if isinstance(first, dict) else {}
        id, status = (whole(told.get(key), most=_LARGEST) for key in ("id", "status"))
        if not id or status != _SUCCESS:
            raise ArtifactsError(f"the answer about {self.url} names no run that has succeeded")
        return id

    def _asked(self, path: str) -> bytes:
        if not self._token:
            raise ArtifactsError(f"{self.url} needs a token of a service account in {_TOKEN}")
        headers = {"Authorization": f"Token {self._token}", "User-Agent": "dbtorch"}
        url = f"{self._api}/{path}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http or https
        try:
            with Budget(_SECONDS) as budget:
                answer = exchange(request, budget, most=_MOST)
        except ValueError:  # Python's text would quote the token
            raise ArtifactsError(f"{_TOKEN} holds a character that HTTP forbids") from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            raise ArtifactsError(f"{self.url} cannot be read: {why}") from None
        shown = path.partition("?")[0]
        if answer.status == http.client.NOT_FOUND:
            raise ArtifactMissing(f"{self._api}/{shown} is not there")
        if answer.status != http.client.OK:
            said = f"{answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
            raise ArtifactsError(f"{self._api}/{shown} answered {said}")
        return answer.body
