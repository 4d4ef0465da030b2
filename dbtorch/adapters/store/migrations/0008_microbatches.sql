-- Batches of microbatch models: what a run has planned to build of each, and whether that is built.

CREATE TABLE dbtorch_microbatches (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    begins_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    built INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, node_id, begins_at, ends_at)
);
