"""What a dbt_cloud step does in its own process: start or find the run of a job, and follow it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from dbtorch.adapters.steps.base import MAX_OUTPUT
from dbtorch.adapters.steps.request import NotInTime, Refused, expected
from dbtorch.core.text.from_outside import number, whole
from dbtorch.step import Fail, Retry

#: Seconds of one request, of the first wait, and of what is done once somebody wants it to end.
_TIMEOUT, _FIRST, _LAST = 60.0, 1.0, 1.5

#: How often the next wait is as long as the last one.
_SLOWER = 1.5

#: Runs of a job among which one of this step is looked for.
_LOOKED_AT = 20

#: How often the results of a run that has ended are asked for.
_TRIES = 4

#: The largest number of a run that is one.
_LARGEST = 2**63 - 1

#: What dbt says of a node that is as it should be; whatever else it says is not.
_GOOD = frozenset({"success", "pass", "warn", "skipped", "no-op", "reused"})


class Status(IntEnum):
    """State of a run, as the platform numbers it."""

    QUEUED = 1
    STARTING = 2
    RUNNING = 3
    SUCCESS = 10
    ERROR = 20
    CANCELLED = 30


_UNDER_WAY = (Status.QUEUED, Status.STARTING, Status.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the platform says of a run."""

    id: int
    status: Status
    cause: str
    href: str
    message: str

    @classmethod
    def of(cls, said: Any) -> Self:
        """Raise `Refused` for what is no run, or in a state that nobody knows."""
        told = said if isinstance(said, Mapping) else {}
        id, status = (whole(told.get(key), most=_LARGEST) for key in ("id", "status"))
        if not id:
            raise Refused("dbt Cloud's answer is about no run: it has no id")
        if status is None or status not in [*Status]:
            raise Refused(
                f"run {id} of dbt Cloud: status {told.get('status')!r}, which nobody knows"
            )
        trigger = told.get("trigger")
        return cls(
            id=id,
            status=Status(status),
            cause=str(trigger.get("cause") or "") if isinstance(trigger, Mapping) else "",
            href=str(told.get("href") or ""),
            message=str(told.get("status_message") or ""),
        )

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self.status in _UNDER_WAY


def run(said: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Have the job run; answers the step's output.

    A run that an attempt before this one has started is followed, where it goes on; one that
    failed is continued from its failure, where it is the newest of its job.
    """
    cloud = _Cloud(said)
    cause = f"dbtorch run {context['run_id']}, step {context['step']}"
    run_id: int | None = None
    try:
        run_id = cloud.begun(cause)
        ended = cloud.followed(run_id, said["every"], said["for"])
    except BaseException:  # a signal, too
        if cloud.asked or run_id is not None:
            with suppress(Exception):
                cloud.hurry = True
                cloud.cancel(cause, run_id)
        raise
    return _judged(ended, cloud.results(run_id))


class _Cloud:
    """The API of the platform, version 2, for one job."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said
        self._account = f"{said['url']}/api/v2/accounts/{said['account']}"
        self.hurry = False  # somebody waits for the end of this process
        self.asked = False  # for a run, which may be there although nobody heard of it

    def begun(self, cause: str) -> int:
        """The id of the run to follow: one that is there, is continued, or begins."""
        newest = self._runs()
        mine = next((one for one in newest if one.cause == cause), None)
        if mine is not None and mine.goes_on:
            print(f"run {mine.id} goes on")
            return mine.id
        self.asked, job = True, f"jobs/{self._said['job']}"
        if mine is not None and mine is newest[0] and mine.status is Status.ERROR:
            found = _Run.of(self._call("POST", f"{job}/rerun/"))
            print(f"run {mine.id} failed; run {found.id} goes on from there")
            return found.id
        body: dict[str, Any] = {"cause": cause}
        if self._said["steps"]:
            body["steps_override"] = self._said["steps"]
        found = _Run.of(self._call("POST", f"{job}/run/", body))
        print(f"run {found.id} begins: {found.href}")
        return found.id

    def followed(self, run_id: int, every: float, within: float) -> _Run:
        """The run when it has ended. Raises `NotInTime`."""
        until, wait, last = time.monotonic() + within, min(_FIRST, every), None
        while True:
            after = 0.0
            try:
                found = _Run.of(self._call("GET", f"runs/{run_id}/"))
            except Retry as error:
                print(f"{error}; asking again")
                after = number(error.after) or 0.0
            else:
                if found.id != run_id:
                    raise Refused(f"dbt Cloud was asked for run {run_id} and tells of {found.id}")
                if found.status is not last:
                    last = found.status
                    print(f"run {run_id}: {last.name.lower()}")
                if not found.goes_on:
                    return found
            left = until - time.monotonic()
            if left <= 0:
                raise NotInTime(f"run {run_id} of dbt Cloud did not end within {within:g} s")
            time.sleep(min(max(wait, after), left))
            wait = min(wait * _SLOWER, every)

    def results(self, run_id: int) -> list[dict[str, Any]]:
        """What dbt says of each node; nothing where the run has left no results.

        Raises `Refused` for results that are none.
        """
        for tries in range(1, _TRIES + 1):
            try:
                answer = self._answer("GET", f"runs/{run_id}/artifacts/run_results.json")
            except Retry as error:
                print(f"{error}; asking again")
                if tries < _TRIES:
                    time.sleep(min(self._said["every"], number(error.after) or _FIRST))
            except Fail as error:
                print(f"the run has left no run_results.json: {error}")
                break
            else:
                found = answer.json.get("results") if isinstance(answer.json, dict) else None
                if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                    raise Refused(f"run_results.json of run {run_id} of dbt Cloud has no results")
                return found
        return []

    def cancel(self, cause: str, run_id: int | None) -> None:
        """Cancel the run, or the one that was begun and never heard of."""
        if run_id is None:
            mine = (one for one in self._runs() if one.cause == cause)
            run_id = next((one.id for one in mine if one.goes_on), None)
        if run_id is not None:
            self._call("POST", f"runs/{run_id}/cancel/")
            print(f"run {run_id} is cancelled")

    def _runs(self) -> list[_Run]:
        """The newest runs of the job, the newest first."""
        asked = f"job_definition_id={self._said['job']}&order_by=-id&limit={_LOOKED_AT}"
        found = self._call("GET", f"runs/?{asked}&include_related=%5B%22trigger%22%5D")
        return [_Run.of(one) for one in found] if isinstance(found, list) else []

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self._answer(method, path, body)
        data = answer.json.get("data") if isinstance(answer.json, dict) else None
        if data is None:
            raise Refused(f"dbt Cloud's answer to {method} {path.partition('?')[0]} has no data")
        return data

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return expected(
            {
                "url": f"{self._account}/{path}",
                "method": method,
                "headers": {
                    "Authorization": f"Token {self._said['token']}",
                    "Accept": "application/json",
                    "Content-Type": "application/json",
                },
                "auth": None,
                "body": None if body is None else json.dumps(body),
                "expect": ["2xx"],
                "timeout": _LAST if self.hurry else _TIMEOUT,
            }
        )


def _judged(ended: _Run, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The output of a run that went well, with its nodes. Raises `Refused` for another."""
    nodes = {str(one.get("unique_id")): str(one.get("status")) for one in results}
    for one in results:
        took = number(one.get("execution_time"))
        seconds = "" if took is None else f" in {took:.1f} s"
        print(f"{one.get('unique_id')} {one.get('status')}{seconds}")
    bad = [one for one in results if str(one.get("status")) not in _GOOD]
    if ended.status is Status.SUCCESS and not bad:
        return _output(ended, nodes)
    said = [f"run {ended.id} of dbt Cloud: {ended.status.name.lower()}"]
    if ended.status is Status.SUCCESS:
        said = [f"run {ended.id} of dbt Cloud says success, and its results say otherwise"]
    elif ended.message:
        said.append(ended.message)
    said += [f"{one.get('unique_id')}: {one.get('message') or one.get('status')}" for one in bad]
    raise Refused("; ".join(said))


def _output(ended: _Run, nodes: Mapping[str, str]) -> dict[str, Any]:
    """What later steps are told; names of nodes stay out where they are too many."""
    counts = Counter(nodes.values())
    output = {"run_id": ended.id, "url": ended.href or None, "counts": dict(counts)}
    named = {**output, "nodes": dict(nodes)}
    return named if len(json.dumps(named).encode()) <= MAX_OUTPUT else output
