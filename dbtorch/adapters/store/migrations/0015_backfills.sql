-- Backfills, and each of their parts with what became of it. A pipeline has one that is not over.

CREATE TABLE dbtorch_backfills (
    project_id TEXT NOT NULL,
    backfill_id TEXT NOT NULL,
    place TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    words TEXT NOT NULL,
    max_active INTEGER NOT NULL,
    partitions INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    ended_at TEXT,
    PRIMARY KEY (project_id, backfill_id)
);

CREATE UNIQUE INDEX dbtorch_backfills_open ON dbtorch_backfills (project_id, place, pipeline)
    WHERE ended_at IS NULL;

CREATE TABLE dbtorch_backfill_parts (
    project_id TEXT NOT NULL,
    backfill_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    begins_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    state TEXT NOT NULL,
    run_id TEXT NOT NULL DEFAULT '',
    token TEXT NOT NULL DEFAULT '',
    server TEXT NOT NULL DEFAULT '',
    claims INTEGER NOT NULL DEFAULT 0,
    claimed_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, backfill_id, ordinal)
);

CREATE INDEX dbtorch_backfill_parts_run ON dbtorch_backfill_parts (run_id);

CREATE INDEX dbtorch_backfill_parts_token ON dbtorch_backfill_parts (token);
