-- Attempts at steps that workers of other machines execute: who offers them, by its lease, and
-- which worker has claimed one and until when that is heard of at least. A row goes with its
-- attempt. Times are those of the database.

CREATE TABLE dbtorch_offers (
    token TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    queue TEXT NOT NULL,
    code TEXT NOT NULL,
    told TEXT NOT NULL,
    lease TEXT NOT NULL,
    lease_acquired_at TEXT NOT NULL,
    state TEXT NOT NULL,
    worker TEXT NOT NULL DEFAULT '',
    called_off INTEGER NOT NULL DEFAULT 0,
    offered_at TEXT NOT NULL,
    started_at TEXT,
    expires_at TEXT,
    outcome TEXT
);

CREATE INDEX dbtorch_offers_project ON dbtorch_offers (project_id, state);

CREATE TABLE dbtorch_offer_logs (
    token TEXT NOT NULL REFERENCES dbtorch_offers (token) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (token, number)
);
