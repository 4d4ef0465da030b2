"""Keys of steps that call a server: ``http`` and ``dbt_cloud``.

Their values may be templates, so the step types check those.
"""

from __future__ import annotations

from dataclasses import replace

from dbtorch.adapters.config.field_types import Key, Section
from dbtorch.adapters.config.scalars import ANYTHING, LIMIT, STATUS, TEXT, checked_later

_TEMPLATE = {"type": "string", "pattern": r"\{\{"}
_DURATION = checked_later("duration", {"anyOf": [*LIMIT["anyOf"], _TEMPLATE]})
_STATUS = [*STATUS["anyOf"], _TEMPLATE]
_ANSWER = "Expression over the answer (`status`, `headers`, `text`, `json`)"

_METHOD = Key(
    "method",
    TEXT,
    "The request's method.",
    default="GET; POST with a body",
    example="POST",
)
_HEADERS = Key(
    "headers",
    checked_later("mapping", {"type": "object"}),
    "Headers; `Idempotency-Key` is added where it is missing.",
    example="{Authorization: \"Bearer {{ env_var('BI_TOKEN') }}\"}",
)

_BOTH = (
    Key(
        "expect",
        checked_later(
            "status or list of statuses",
            {"anyOf": [*_STATUS, {"type": "array", "items": {"anyOf": _STATUS}}]},
        ),
        "What means success.",
        default="2xx",
        example="[200, 202, 409]",
    ),
    Key("timeout", _DURATION, "Longest wait for an answer.", default="1m", example="30s"),
    Key(
        "fail_when",
        TEXT,
        f"{_ANSWER} that means failure.",
        example="\"json.status == 'error'\"",
    ),
)

POLL = Section(
    title="http.poll",
    shape={"required": ["until"]},
    keys=(
        Key(
            "until",
            TEXT,
            f"{_ANSWER} that ends the polling. Required.",
            example="\"json.status == 'done'\"",
        ),
        Key(
            "url",
            TEXT,
            "Where to ask. May use the first answer: `{{ response.json.id }}`, or `{{ json.id }}`.",
            default="that of the request",
            example='"https://bi.example/jobs/{{ response.json.id }}"',
        ),
        Key("every", _DURATION, "Time between requests.", default="10s", example="30s"),
        Key("for", _DURATION, "When to give up.", default="1h", example="2h"),
        replace(_METHOD, default="GET"),
        replace(_HEADERS, doc="Headers; those of the request are sent again to the same server."),
        *_BOTH,
    ),
)

HTTP = Section(
    title="http",
    shape={"required": ["url"], "dependencies": {"body": {"properties": {"json": False}}}},
    keys=(
        Key("url", TEXT, "Where to. Required.", example="\"{{ env_var('BI_URL') }}/refresh\""),
        _METHOD,
        _HEADERS,
        *_BOTH,
        Key("auth", ANYTHING, "User and password.", example="[user, secret]"),
        Key("body", ANYTHING, "What is sent, as it is.", example="name=orders"),
        Key("json", ANYTHING, "What is sent, as JSON.", example="{full: false}"),
        Key(
            "poll",
            POLL,
            "Ask again and again after the first answer, until a condition holds.",
            example='{until: "json.done", every: 30s, for: 2h}',
        ),
    ),
)

_NUMBER = checked_later(
    "number or template",
    {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]+$|\{\{"}]},
)
_COMMANDS = checked_later(
    "text or list of text",
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
)

DBT_CLOUD = Section(
    title="dbt_cloud",
    shape={"required": ["account", "job"]},
    keys=(
        Key("account", _NUMBER, "Number of the account. Required.", example="12345"),
        Key("job", _NUMBER, "Number of the job. Required.", example="67890"),
        Key(
            "token",
            TEXT,
            "Token of a service account that may run jobs.",
            default="`env_var('DBT_CLOUD_API_TOKEN')`",
            example="\"{{ env_var('DBT_ENV_SECRET_CLOUD') }}\"",
        ),
        Key(
            "url",
            TEXT,
            "Access URL of the account.",
            default="`https://cloud.getdbt.com`",
            example='"https://ab123.us1.dbt.com"',
        ),
        Key(
            "steps",
            _COMMANDS,
            "Commands instead of the job's own (`steps_override`).",
            default="the job's",
            example="[dbt build --select tag:daily]",
        ),
        Key(
            "every",
            _DURATION,
            "Longest time between two looks; the first come sooner.",
            default="30s",
            example="1m",
        ),
        Key(
            "for",
            _DURATION,
            "When to give up, and cancel it.",
            default="1d",
            example="2h",
        ),
    ),
)
