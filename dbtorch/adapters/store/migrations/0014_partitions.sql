-- Which partition a run stands for, and which intervals of a model, step or pipeline are built: by
-- which run, with which code. These stay when runs are removed: the data does, too.

ALTER TABLE dbtorch_runs ADD COLUMN partition_key TEXT NOT NULL DEFAULT '';

CREATE TABLE dbtorch_partitions (
    project_id TEXT NOT NULL,
    place TEXT NOT NULL,
    node_id TEXT NOT NULL,
    begins_at TEXT NOT NULL,
    ends_at TEXT NOT NULL,
    state TEXT NOT NULL,
    run_id TEXT NOT NULL,
    checksum TEXT NOT NULL,
    written_at TEXT NOT NULL,
    PRIMARY KEY (project_id, place, node_id, begins_at, ends_at)
);

CREATE INDEX dbtorch_partitions_run ON dbtorch_partitions (run_id, node_id);
