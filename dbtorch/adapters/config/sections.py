"""Every section, in the order of the documentation. Reading a file imports only what is in it."""

from __future__ import annotations

from dataclasses import replace

from dbtorch.adapters.config import alert_keys, check_keys, failure_keys, freshness_keys
from dbtorch.adapters.config.http_keys import HTTP, POLL
from dbtorch.adapters.config.keys import ENGINE, PIPELINE, ROOT, SCHEDULE
from dbtorch.adapters.config.setting_keys import DEADLINE_KEY, DEFAULTS, RETRY, RETRY_ON
from dbtorch.adapters.config.step_keys import STEP

#: ``meta.dbtorch`` has the keys of ``defaults``, too.
SECTIONS = (
    ROOT,
    ENGINE,
    DEFAULTS,
    RETRY,
    RETRY_ON,
    failure_keys.RULE,
    failure_keys.BREAKER,
    *freshness_keys.SECTIONS,
    replace(freshness_keys.META, keys=(DEADLINE_KEY, *freshness_keys.META.keys)),
    *check_keys.SECTIONS,
    *alert_keys.SECTIONS,
    STEP,
    HTTP,
    POLL,
    PIPELINE,
    SCHEDULE,
)
