"""Every key of ``dbtorch.yml``, in tables: this one and those of settings, steps and requests.

Validation, hints about the nearest key and ``docs/configuration.md`` all come from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbtorch.adapters.config import durations, failure_keys, freshness_keys
from dbtorch.adapters.config.kinds import (
    CRON,
    DEADLINE,
    DURATION,
    FREE_TEXT,
    MODULE,
    TEXT,
    TIMEOUT,
    TIMEZONE,
    VERSION,
    Key,
    Kind,
    Later,
    Named,
    Section,
    Several,
    one_of,
    whole,
)
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.setting_keys import DEFAULTS, RETRY_KEY
from dbtorch.adapters.config.step_keys import SELECTION, STEP
from dbtorch.core import plan
from dbtorch.core.config import Config, EngineSpec, EngineType, PipelineSpec, Schedule
from dbtorch.core.deadline import DeadlineAction

_SLOTS = whole(1, 1_000_000)

#: A word that is safe in file names, selections and dotted paths.
_WORD = r"[A-Za-z_][A-Za-z0-9_-]{0,99}"
_WORD_RULE = "is no name; use letters, digits, _ and -, a letter or _ first, 100 of them at most"

ENGINE = Section(
    title="engine",
    keys=(
        Key(
            "type",
            one_of(EngineType),
            "`session` executes nodes one by one inside dbt-core 1.x, `process` hands any dbt "
            "executable closed parts of the graph, `auto` takes what the installed dbt allows.",
            default="auto",
            example="process",
        ),
        Key(
            "python",
            TEXT,
            "Interpreter that has dbt and the project's Python code. May use `env_var`.",
            default="the one dbtorch runs in",
            example=".venv/bin/python",
        ),
        Key(
            "executable",
            TEXT,
            "dbt for the process engine. May use `env_var`.",
            default="`dbt` beside the interpreter, then on the path",
            example=".venv-dbt2/bin/dbt",
        ),
        Key(
            "profiles_dir",
            TEXT,
            "Folder of `profiles.yml`, relative to the project. May use `env_var`.",
            default="where dbt looks",
            example="profiles",
        ),
        Key(
            "batches",
            whole(1, 64),
            "How many dbts the process engine has at work at once; they share the target's threads."
            " In a DuckDB file it is always one.",
            default=str(EngineSpec().batches),
            example="2",
        ),
    ),
)

SCHEDULE = Section(
    title="schedule",
    short="cron",
    keys=(
        Key(
            "cron",
            CRON,
            "Five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Required.",
            example='"0 6 * * *"',
        ),
        Key(
            "timezone",
            TIMEZONE,
            "Zone whose clock the fields speak of, summer time included.",
            default=Schedule(cron="").timezone,
            example="Europe/Berlin",
        ),
    ),
    required="cron",
)


def _one_choice(written: Mapping[str, Any], at: Path, report: Report) -> None:
    others = [key for key in ("select", "exclude") if key in written]
    if "selector" in written and others:
        report.wrong((*at, "selector"), f"replaces {' and '.join(others)}; keep one way to choose")


PIPELINE = Section(
    title="pipelines.<name>",
    check=_one_choice,
    keys=(
        Key(
            "select",
            SELECTION,
            "What belongs to it, as in dbt's `--select`.",
            default="everything",
            example="tag:daily",
        ),
        Key(
            "exclude",
            SELECTION,
            "What does not, as in dbt's `--exclude`.",
            default="nothing",
            example="[tag:heavy]",
        ),
        Key(
            "selector",
            TEXT,
            "Name of a selector in `selectors.yml`, instead of the two above.",
            example="nightly",
        ),
        Key(
            "target",
            TEXT,
            "Target in `profiles.yml`.",
            default="the profile's",
            example="prod",
        ),
        Key(
            "schedule",
            SCHEDULE,
            "When it runs; text is the cron part alone.",
            default="by hand",
            example='{cron: "0 6 * * *", timezone: Europe/Berlin}',
        ),
        replace(RETRY_KEY, doc="Retries of its nodes and steps that say nothing of their own."),
        Key(
            "deadline",
            DEADLINE,
            "When a run of it is late: so long after its start, or at the first such time of day"
            " after it, by the clock of the schedule's time zone (without one, this machine's).",
            default="none",
            example='"08:00"',
        ),
        Key(
            "deadline_action",
            one_of(DeadlineAction),
            "What a run does that is late: say so, in the history too, or be cancelled.",
            default=PipelineSpec(name="").deadline_action.value,
            example="cancel",
        ),
        Key(
            "max_age",
            TIMEOUT,
            "How long ago its last run that succeeded may have started before `dbtorch status`"
            " calls it stale.",
            default="no limit",
            example="26h",
        ),
        Key(
            "owner",
            TEXT,
            "Who is told of its runs, and of nodes that nobody else owns.",
            default="that of `defaults`",
            example="data-eng",
        ),
        Key("description", FREE_TEXT, "What it is for.", example="Every morning."),
    ),
)

_POOLS = Named(
    of=_SLOTS,
    pattern=_WORD,
    rule=_WORD_RULE,
    reserved={
        plan.THREADS: "is a pool of dbtorch's own; its size is dbt's --threads",
        plan.BATCHES: "is a pool of dbtorch's own; its size is engine.batches",
        plan.STEPS: "is a pool of dbtorch's own; its size is max_steps",
    },
)

STEPS = Named(of=STEP, pattern=_WORD, rule=_WORD_RULE)


def _checks() -> Kind:
    from dbtorch.adapters.config.check_keys import PATTERNS

    return PATTERNS


def _alerts() -> Kind:
    from dbtorch.adapters.config.alert_keys import ALERTS

    return ALERTS


ROOT = Section(
    title="dbtorch.yml",
    keys=(
        Key("version", VERSION, "Version of this format.", default="1", example="1"),
        Key("engine", ENGINE, "How dbt is started."),
        Key("defaults", DEFAULTS, "Settings of every node and step that says nothing of its own."),
        Key(
            "pools",
            _POOLS,
            "Slots of each pool: how many nodes and steps of the pool run at once.",
            default="no pools",
            example="{warehouse: 8, crm_api: 1}",
        ),
        Key(
            "max_steps",
            _SLOTS,
            "Steps that run at once.",
            default=str(Config().max_steps),
            example="4",
        ),
        Key(
            "database_url",
            TEXT,
            "Where runs are recorded. May use `env_var`.",
            default="SQLite in `.dbtorch/dbtorch.db`",
            example="\"{{ env_var('RUNS_URL', 'postgresql://localhost/runs') }}\"",
        ),
        Key(
            "grace",
            DURATION,
            "Time that steps and queries have from being asked to end, by a time-out or a cancel,"
            " to being killed.",
            default=durations.text(Config().grace),
            example="20s",
        ),
        *failure_keys.KEYS,
        freshness_keys.KEY,
        Key(
            "checks",
            Later("mapping", _checks),
            "Checks beyond dbt's tests. A later pattern wins over one before it, a name over"
            " patterns, and `meta.dbtorch` over both, each kind of check by itself.",
            default="none",
            example='{models: {"fct_*": {row_count: 1}}}',
        ),
        Key(
            "alerts",
            Later("mapping", _alerts),
            "Who is told what, and how; see [Alerts](alerts.md).",
            default="nobody is told",
            example="{slack: {token: \"{{ env_var('SLACK_BOT_TOKEN') }}\","
            ' channel: "#data-alerts"}}',
        ),
        Key(
            "step_modules",
            Several(MODULE),
            "Python modules whose `@dbtorch.step` functions are steps.",
            default="none",
            example="[ingestion.steps]",
        ),
        Key(
            "steps",
            STEPS,
            "What happens besides dbt: ingestion before, downstream steps after.",
            default="none",
        ),
        Key(
            "pipelines",
            Named(of=PIPELINE, pattern=_WORD, rule=_WORD_RULE),
            "Named selections of the graph. One called `default` replaces the implicit one.",
            default="`default`, which is everything",
        ),
    ),
)
