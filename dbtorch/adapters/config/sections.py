"""Every section, in the order of the documentation. Reading a file imports only what is in it."""

from __future__ import annotations

from dataclasses import replace

from dbtorch.adapters.config import alert_keys, check_keys, trigger_keys
from dbtorch.adapters.config import setting_keys as of
from dbtorch.adapters.config.failure_keys import RULE
from dbtorch.adapters.config.http_keys import DBT_CLOUD, HTTP, POLL
from dbtorch.adapters.config.param_keys import PARAM
from dbtorch.adapters.config.schedule_keys import PARTITION, SCHEDULE
from dbtorch.adapters.config.schema import (
    BREAKER,
    ENGINE,
    PIPELINE,
    ROOT,
    UI,
)
from dbtorch.adapters.config.step_keys import STEP

#: ``meta.dbtorch`` has the keys of ``defaults``, too.
SECTIONS = (
    ROOT,
    ENGINE,
    of.DEFAULTS,
    of.RETRY,
    of.RETRY_ON,
    RULE,
    BREAKER,
    of.FRESHNESS,
    of.FRESHNESS_DEFAULT,
    of.ON_STALE,
    of.FRESHNESS_SOURCE,
    replace(of.META, keys=(*of.OF_A_NODE, of.PARTITION_KEY)),
    *check_keys.SECTIONS,
    *alert_keys.SECTIONS,
    UI,
    STEP,
    HTTP,
    POLL,
    DBT_CLOUD,
    PIPELINE,
    SCHEDULE,
    PARAM,
    PARTITION,
    trigger_keys.ON,
    trigger_keys.OWN_OF_WAIT,
    trigger_keys.REQUEST,
    trigger_keys.WEBHOOK,
)
