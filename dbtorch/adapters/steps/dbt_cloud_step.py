"""``dbt_cloud:`` runs a job of the dbt platform and follows it to its end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config.http_keys import DBT_CLOUD
from dbtorch.adapters.steps.base import CHILD, Call, Command, StepError, known_keys
from dbtorch.core.text import durations

#: Where dbtorch itself is imported from.
_ROOT = CHILD.parents[3]

_DEFAULTS = {
    "url": "https://cloud.getdbt.com",
    "token": "{{ env_var('DBT_CLOUD_API_TOKEN') }}",
    "every": "30s",
    "for": "1d",
}

#: It talks to a server, and leaves the project's database alone.
opens_database = False


def check(action: Any) -> None:
    """The action is a mapping with at least an account and a job."""
    if not isinstance(action, Mapping) or not (action.get("account") and action.get("job")):
        raise StepError("dbt_cloud must be a mapping with at least an account and a job")
    known_keys(action, sorted(key.name for key in DBT_CLOUD.keys), what="dbt_cloud")
    for key in ("account", "job"):
        if not _is_template(action[key]):
            _number(action[key], key)
    for key in ("every", "for"):
        if not _is_template(action.get(key)):
            _seconds({**_DEFAULTS, **action}[key], key)
    _commands(action.get("steps"))


def command(action: Any, call: Call) -> Command:
    """The child process, told which job; the token travels through its standard input."""
    check(action)
    said = call.render({**_DEFAULTS, **action}, native=False)
    token = str(said["token"])
    job = {
        "account": _number(said["account"], "account"),
        "job": _number(said["job"], "job"),
        "token": token,
        "url": str(said["url"]).rstrip("/"),
        "steps": _commands(said.get("steps")),
        "every": _seconds(said["every"], "every"),
        "for": _seconds(said["for"], "for"),
    }
    told = {"kind": "dbt_cloud", "request": job, "context": call.context, "root": str(_ROOT)}
    return Command(
        argv=(sys.executable, "-u", str(CHILD)),
        stdin=json.dumps(told),
        result=True,
        secrets=(token,),
    )


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _number(value: Any, key: str) -> int:
    if isinstance(value, bool) or not re.fullmatch("[0-9]+", str(value)):
        raise StepError(f"dbt_cloud.{key} is {value!r}; a number, as in the address of its page")
    return int(value)


def _seconds(value: Any, key: str) -> float:
    try:
        found = durations.seconds(value)
    except ValueError as error:
        raise StepError(f"dbt_cloud.{key} is {value!r}; {error}") from None
    if found == 0:
        raise StepError(f"dbt_cloud.{key} is {value!r}; it must be longer than nothing")
    return found


def _commands(said: Any) -> list[str]:
    found = [said] if isinstance(said, str) else [] if said is None else said
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise StepError('dbt_cloud.steps must be a list of commands, such as "dbt build"')
    return list(found)
