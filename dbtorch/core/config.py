"""What a user may say: the values that ``dbtorch.yml``, ``meta.dbtorch`` and options come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from dbtorch.core.errors import Placed
from dbtorch.core.keys import Between, Duration, EnvText, FreeText, Limit, key
from dbtorch.core.model.deadline import DeadlineAction, DeadlineRule
from dbtorch.core.model.freshness import FreshnessSpec
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.policy import Breaker
from dbtorch.core.settings import Settings

if TYPE_CHECKING:  # imported by who has any
    from dbtorch.core.alerts.routing import AlertsSpec
    from dbtorch.core.checks.relation_checks import PatternChecks
    from dbtorch.core.ci.lint import LintSpec
    from dbtorch.core.failures.evidence import Rule
    from dbtorch.core.model.wait import Wait
    from dbtorch.core.params import ParamSpec
    from dbtorch.core.schedule.condition import TriggerSpec
    from dbtorch.core.schedule.partition import PartitionSpec
    from dbtorch.core.schedule.schedule import Schedule

#: Seconds from asking a step or a query to end to killing what runs it. With it a run that gets
#: SIGTERM ends within the ten seconds that containers are given.
GRACE = 3.0

#: The type of step that dbt executes; all others are in the catalogue of step types.
SQL = "sql"

#: The type of step that waits; a query it waits for is dbt's to execute.
WAIT = "wait_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where something was written."""

    file: str = ""
    line: int = 0  # 1 is the first

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def says(self, text: str) -> Placed:
        """A sentence about what is written there, which begins with the place."""
        return Placed(text, self.file, self.line)


class InCi(StrEnum):
    """What `dbtorch ci` does with a step."""

    SKIP = "skip"  # leave it out
    RUN = "run"  # run it where what comes after it is built
    MOCK = "mock"  # leave it out, and let others stand in for the sources it produces


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """A step as it was declared."""

    name: str
    type: str  # python, command, sql, http, dbt_cloud, wait_for, or the name of an entry point
    action: Any  # what stood under the type's key: text, list or mapping; templates unrendered
    produces: tuple[str, ...] = field(  # dbt selections of sources, "source:shop.orders"
        default=(),
        metadata=key(
            "Sources it fills; the models that read them wait for it.",
            default="nothing",
            example="[source:shop.orders]",
        ),
    )
    after: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "What it waits for: `step:<name>`, or any dbt selection.",
            default="nothing",
            example="[exposure:weekly_kpis, step:ingest_orders]",
        ),
    )
    when: Annotated[str, "condition"] | None = field(
        default=None,
        metadata=key(
            "Template; the step is skipped when it renders to nothing or to false.",
            default="always",
            example="\"{{ env_var('BI_URL', '') }}\"",
        ),
    )
    params: Mapping[str, Any] = field(
        default_factory=dict,
        metadata=key(
            "What it gets besides the run: anything that JSON can hold. Not for `sql`.",
            default="none",
            example="{table: orders}",
        ),
    )
    env: Mapping[str, str] = field(
        default_factory=dict,
        metadata=key(
            "Environment variables of its process, besides dbtorch's own. Not for `sql`.",
            default="none",
            example="{LOG_LEVEL: debug}",
        ),
    )
    opens_database: bool | None = field(
        default=None,
        metadata=key(
            "Whether it opens the project's database file itself; dbt lets go of it meanwhile.",
            default="by type",
            example="true",
        ),
    )
    queue: str = field(
        default="",
        metadata=key(
            "Queue of the workers that execute it, on other machines (`dbtorch worker`); not for"
            " `sql` and `wait_for`.",
            default="none: where the run is",
            example="crm",
        ),
    )
    ci: InCi = field(
        default=InCi.SKIP,
        metadata=key(
            "What `dbtorch ci` does with it: leave it out, run it before what it feeds, or have"
            " production's tables stand in for its own.",
            example="run",
        ),
    )
    description: FreeText = field(
        default="", metadata=key("What it is for.", example="Lands the orders.")
    )
    wait: "Wait | None" = None  # of one that waits: how often, how long, and what then
    checksum: str = ""  # of what it executes; empty until somebody has looked
    settings: Settings = field(default_factory=Settings)
    origin: Origin = field(default_factory=Origin)

    @property
    def id(self) -> str:
        """The id of its node."""
        return Kind.STEP.id_of(self.name)

    @property
    def on_engine(self) -> bool:
        """Whether dbt executes it, over its own connection; no process is started for it."""
        return self.type == SQL or (self.type == WAIT and "sql" in self.action)


class MicrobatchWindow(StrEnum):
    """Which batches of microbatch models a run builds."""

    DBT = "dbt"  # those that dbt would, lookback included, were it now the end of the interval
    INTERVAL = "interval"  # those of the run's data interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A named selection of the graph."""

    name: str
    select: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "What belongs to it, as in dbt's `--select`.", default="everything", example="tag:daily"
        ),
    )
    exclude: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "What does not, as in dbt's `--exclude`.", default="nothing", example="[tag:heavy]"
        ),
    )
    selector: str | None = field(
        default=None,
        metadata=key(
            "Name of a selector in `selectors.yml`, instead of the two above.", example="nightly"
        ),
    )
    target: str | None = field(
        default=None,
        metadata=key("Target in `profiles.yml`.", default="the profile's", example="prod"),
    )
    schedule: "Schedule | None" = field(
        default=None,
        metadata=key(
            "When it runs, and which intervals its runs cover; text is the cron part alone.",
            default="none",
            example='{cron: "0 6 * * *", timezone: Europe/Berlin}',
        ),
    )
    on: "TriggerSpec | None" = field(
        default=None,
        metadata=key(
            "What `dbtorch serve` starts it by, beside or instead of a schedule; see [Start a"
            " pipeline by events](scheduling.md#start-a-pipeline-by-events).",
            default="nothing",
            example="{pipeline: staging}",
        ),
    )
    production: bool = field(
        default=False,
        metadata=key(
            "Whether its runs are production: one that succeeds publishes its state, for pull"
            " requests to compare with; see [Pull requests](pull-requests.md). It needs `target`.",
            example="true",
        ),
    )
    partition: "PartitionSpec | None" = field(
        default=None,
        metadata=key(
            "The partitions of its data; each run is for one of them. See"
            " [Partitions](scheduling.md#partitions).",
            default="none",
            example="{by: day, start: 2026-01-01, timezone: Europe/Berlin}",
        ),
    )
    vars: Mapping[str, Any] = field(
        default_factory=dict,
        metadata=key(
            "dbt's `--vars` of its runs; may use `run.*`, `params` and `env_var`. `--vars` on the"
            " command line counts for more. dbt reads the whole project again where they change.",
            default="none",
            example='{run_date: "{{ run.logical_date.date() }}"}',
        ),
    )
    params: "Mapping[str, ParamSpec]" = field(
        default_factory=dict,
        metadata=key(
            "What may be said of one of its runs (`--param`); known as `params` in templates of"
            " steps and of `vars`. See [Parameters](scheduling.md#parameters).",
            default="none",
            example="{country: {default: de, choices: [de, fr]}}",
        ),
    )
    microbatch: MicrobatchWindow = field(
        default=MicrobatchWindow.DBT,
        metadata=key(
            "Batches that microbatch models build: those of dbt's own window as of the end of the"
            " data interval, `lookback` included, or those that the `interval` touches. With"
            " `partition` it is always `interval`.",
            example="interval",
        ),
    )
    settings: Settings = field(
        default_factory=Settings,
        metadata=key(
            "Retries of its nodes and steps that say nothing of their own.",
            name="retry",
            example="{on: {transient: 5, timeout: 1}, budget: 30m, delay: 30s}",
        ),
    )
    deadline: DeadlineRule | None = field(
        default=None,
        metadata=key(
            "When a run of it is late: this long after its start (with `dbtorch serve`: after it"
            " was due), or at the first such time of day after that, by the clock of the schedule's"
            " time zone (without one, this machine's).",
            default="none",
            example='"08:00"',
        ),
    )
    deadline_action: DeadlineAction = field(
        default=DeadlineAction.ALERT,
        metadata=key(
            "What a run does that is late: say so, in the history too, or be cancelled.",
            example="cancel",
        ),
    )
    max_age: Limit | None = field(
        default=None,
        metadata=key(
            "How long ago its last run that succeeded may have started before `dbtorch status`"
            " calls it stale.",
            default="no limit",
            example="26h",
        ),
    )
    owner: str = field(
        default="",
        metadata=key(
            "Who gets the alerts of its runs, and of nodes that nobody else owns.",
            default="that of `defaults`",
            example="data-eng",
        ),
    )
    description: FreeText = field(
        default="", metadata=key("What it is for.", example="Every morning.")
    )
    origin: Origin = field(default_factory=Origin)


class EngineType(StrEnum):
    """How dbt executes nodes."""

    AUTO = "auto"  # as the dbt that is installed allows
    SESSION = "session"  # one by one, inside a dbt-core 1.x that is kept open
    PROCESS = "process"  # in batches, by any dbt executable


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """How dbt is started."""

    type: EngineType = field(
        default=EngineType.AUTO,
        metadata=key(
            "`session` executes nodes one by one inside dbt-core 1.x, `process` hands any dbt "
            "executable closed parts of the graph, `auto` takes what the installed dbt allows.",
            example="process",
        ),
    )
    python: EnvText | None = field(  # None or auto: the project's dbt is looked for
        default=None,
        metadata=key(
            "Interpreter that has dbt and the project's Python code; `auto` finds the project's own"
            " ([how](concepts.md#which-dbt-dbtorch-uses)). May use `env_var`.",
            default="auto",
            example=".venv/bin/python",
        ),
    )
    executable: EnvText | None = field(
        default=None,
        metadata=key(
            "dbt for the process engine. May use `env_var`.",
            default="`dbt` beside the interpreter, then on the path",
            example=".venv-dbt2/bin/dbt",
        ),
    )
    profiles_dir: EnvText | None = field(
        default=None,
        metadata=key(
            "Folder of `profiles.yml`, relative to the project. May use `env_var`.",
            default="where dbt looks",
            example="profiles",
        ),
    )
    batches: Annotated[int, Between(1, 64)] = field(
        default=4,
        metadata=key(
            "How many dbts the process engine has at work at once; they share the target's threads."
            " In a DuckDB file it is always one.",
            example="2",
        ),
    )
    patches: bool = field(
        default=True,
        metadata=key(
            "Let dbt 1 do its own work for each node with fewer detours, in dbtorch's processes"
            " alone; `dbtorch doctor` lists what that is. See"
            " [Patches](contributing/engines.md#patches).",
            example="false",
        ),
    )


#: Nodes or steps that run at once.
Slots = Annotated[int, Between(1, 1_000_000)]

_OWN_GATES_ONLY = FreshnessSpec(everywhere=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UiSpec:
    """Where the pages are."""

    url: EnvText | None = field(
        default=None,
        metadata=key(
            "Where people open the pages of `dbtorch ui` or `dbtorch serve`: alerts, summaries and"
            " comments link to a run and its logs there. May use `env_var`.",
            default="no links",
            example="https://dbtorch.acme.com",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything in ``dbtorch.yml``; the defaults are what a project without one gets."""

    version: Annotated[int, "version"] = field(
        default=1, metadata=key("Version of this format.", example="1")
    )
    engine: EngineSpec = field(default_factory=EngineSpec, metadata=key("How dbt is started."))
    defaults: Settings = field(
        default_factory=Settings,
        metadata=key("Settings of every node and step that says nothing of its own."),
    )
    pools: Mapping[str, Slots] = field(
        default_factory=dict,
        metadata=key(
            "Slots of each pool: how many nodes and steps of the pool run at once.",
            default="no pools",
            example="{warehouse: 8, crm_api: 1}",
        ),
    )
    max_steps: Slots = field(default=8, metadata=key("Steps that run at once.", example="4"))
    database_url: EnvText | None = field(
        default=None,
        metadata=key(
            "Where runs are recorded. May use `env_var`.",
            default="SQLite in `.dbtorch/dbtorch.db`",
            example="\"{{ env_var('RUNS_URL', 'postgresql://localhost/runs') }}\"",
        ),
    )
    artifacts_url: EnvText | None = field(
        default=None,
        metadata=key(
            "Where logs and dbt's artifacts of runs are uploaded to, so that every machine reads"
            " them: a URL that fsspec knows, or a folder. May use `env_var`.",
            default="they stay in `.dbtorch`",
            example="s3://acme-dbtorch/prod",
        ),
    )
    retention: Duration | None = field(
        default=None,
        metadata=key(
            "How long runs are kept, with their logs and measurements, after their end. Every run"
            " removes some that are older, `dbtorch prune` all of them.",
            default="for ever",
            example="90d",
        ),
    )
    project_id: EnvText | None = field(
        default=None,
        metadata=key(
            "What this project is called in a history that several share; the same wherever it"
            " runs. May use `env_var`.",
            default="its place in its git repository",
            example="acme/warehouse",
        ),
    )
    grace: Duration = field(
        default=GRACE,
        metadata=key(
            "Time that steps and queries have from being asked to end, by a timeout or a cancel,"
            " to being killed.",
            example="20s",
        ),
    )
    failure_classes: "tuple[Rule, ...]" = field(
        default=(),
        metadata=key(
            "What failures of your adapter and your steps are; before the built-in table.",
            default="none",
        ),
    )
    circuit_breaker: Breaker | None = field(
        default_factory=Breaker,
        metadata=key(
            "When dbt nodes stop starting because the warehouse is down; `false` for never.",
            default="on",
            example="{failures: 5, window: 1m, pause: 30s, patience: 1h}",
        ),
    )
    freshness: FreshnessSpec | None = field(  # None: no gates
        default=_OWN_GATES_ONLY,
        metadata=key(
            "What happens behind sources that are not fresh by dbt's rules; `false`: none is"
            " checked.",
            default="only sources with a gate in `meta.dbtorch`",
            example="{default: {on_stale: wait, for: 2h}}",
        ),
    )
    checks: "tuple[PatternChecks, ...]" = field(
        default=(),
        metadata=key(
            "Checks beyond dbt's tests. A later pattern wins over one before it, a name over"
            " patterns, and `meta.dbtorch` over both, each kind of check by itself.",
            default="none",
            example='{models: {"fct_*": {row_count: 1}}}',
        ),
    )
    lint: "LintSpec | None" = field(  # None: as it is by default
        default=None,
        metadata=key(
            "How much what `dbtorch ci --lint` finds weighs; see"
            " [Check without a warehouse](pull-requests.md#check-without-a-warehouse).",
            example="{untested: error, no_runbook: ignore}",
        ),
    )
    alerts: "AlertsSpec | None" = field(  # None: no alerts
        default=None,
        metadata=key(
            "Who gets which alert, and how; see [Alerts](alerts.md).",
            default="no alerts",
            example="{slack: {token: \"{{ env_var('SLACK_BOT_TOKEN') }}\","
            ' channel: "#data-alerts"}}',
        ),
    )
    ui: UiSpec = field(default_factory=UiSpec, metadata=key("The pages in a browser."))
    step_modules: tuple[Annotated[str, "module"], ...] = field(
        default=(),
        metadata=key(
            "Python modules whose `@dbtorch.step` functions are steps.",
            default="none",
            example="[ingestion.steps]",
        ),
    )
    steps: Mapping[str, StepSpec] = field(
        default_factory=dict,
        metadata=key(
            "What happens besides dbt: ingestion before, downstream steps after.", default="none"
        ),
    )
    pipelines: Mapping[str, PipelineSpec] = field(
        default_factory=dict,
        metadata=key(
            "Named selections of the graph. One called `default` replaces the implicit one.",
            default="`default`, which is everything",
        ),
    )
    origin: Origin = field(default_factory=Origin)
