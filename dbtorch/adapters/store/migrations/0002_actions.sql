-- What people asked of runs, and did to them. handled_at is empty until a supervisor has answered.

CREATE TABLE dbtorch_actions (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    node_id TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    handled_at TEXT,
    PRIMARY KEY (run_id, ordinal)
);
