-- The SQL both databases understand. Times are ISO-8601 text in UTC with microseconds, JSON is text.

CREATE TABLE dbtorch_runs (
    run_id TEXT PRIMARY KEY,
    pipeline TEXT NOT NULL,
    project TEXT NOT NULL,
    target TEXT NOT NULL,
    logical_date TEXT NOT NULL,
    data_interval_start TEXT NOT NULL,
    data_interval_end TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    run_type TEXT NOT NULL,
    command TEXT NOT NULL,
    dbt_args TEXT NOT NULL,
    dbtorch_version TEXT NOT NULL,
    dbt_version TEXT NOT NULL,
    adapter TEXT NOT NULL,
    manifest_hash TEXT NOT NULL,
    git_commit TEXT NOT NULL,
    git_dirty INTEGER,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    edges TEXT NOT NULL,
    options TEXT NOT NULL
);

CREATE INDEX dbtorch_runs_newest ON dbtorch_runs (started_at, run_id);

CREATE TABLE dbtorch_run_nodes (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    materialized TEXT NOT NULL,
    owner TEXT NOT NULL,
    runbook TEXT NOT NULL,
    node_group TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    updated_at TEXT,
    retry_at TEXT,
    PRIMARY KEY (run_id, node_id)
);

-- Project and target are the run's, repeated so that one index answers for durations.
CREATE TABLE dbtorch_attempts (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    project TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    queued_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    failure_class TEXT,
    message TEXT NOT NULL DEFAULT '',
    rows_affected BIGINT,
    output TEXT NOT NULL DEFAULT 'null',
    details TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, node_id, number)
);

CREATE INDEX dbtorch_attempts_durations
    ON dbtorch_attempts (project, target, node_id, finished_at, started_at)
    WHERE state IN ('success', 'warn') AND started_at IS NOT NULL;

CREATE TABLE dbtorch_transitions (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    before TEXT NOT NULL,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (run_id, ordinal)
);

CREATE TABLE dbtorch_leases (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    acquired_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);
