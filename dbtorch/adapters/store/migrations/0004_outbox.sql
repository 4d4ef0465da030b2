-- Messages to people, written before they are sent; and failures that last.

CREATE TABLE dbtorch_outbox (
    notifier TEXT NOT NULL,
    address TEXT NOT NULL,
    message_key TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    run_id TEXT NOT NULL,
    thread TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    sent_version INTEGER NOT NULL DEFAULT 0,
    sent_at TEXT,
    receipt TEXT NOT NULL DEFAULT '{}',
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_at TEXT,
    error TEXT NOT NULL DEFAULT '',
    unsure INTEGER NOT NULL DEFAULT 0,
    claimed_until TEXT,
    claimed_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notifier, address, message_key)
);

CREATE INDEX dbtorch_outbox_pending ON dbtorch_outbox (notifier, created_at, ordinal)
    WHERE sent_version < version;

CREATE INDEX dbtorch_outbox_runs ON dbtorch_outbox (run_id);

CREATE TABLE dbtorch_incidents (
    project TEXT NOT NULL,
    target TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    node_id TEXT NOT NULL,
    failure_class TEXT,
    opened_run TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    last_run TEXT NOT NULL,
    in_a_row INTEGER NOT NULL,
    told_at TEXT NOT NULL,
    closed_at TEXT,
    PRIMARY KEY (project, target, pipeline, node_id)
);
