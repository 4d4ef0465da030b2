-- Numbers about relations, run by run. Project and target are the run's, repeated for the index.

CREATE TABLE dbtorch_measurements (
    run_id TEXT NOT NULL REFERENCES dbtorch_runs (run_id) ON DELETE CASCADE,
    node_id TEXT NOT NULL,
    measure TEXT NOT NULL,
    project TEXT NOT NULL,
    target TEXT NOT NULL,
    measured_at TEXT NOT NULL,
    number DOUBLE PRECISION,
    detail TEXT NOT NULL DEFAULT 'null',
    PRIMARY KEY (run_id, node_id, measure)
);

CREATE INDEX dbtorch_measurements_series
    ON dbtorch_measurements (project, target, node_id, measure, measured_at);
