-- A history of many projects: everything is of one, and of a place where its target builds. Rows
-- without a place are of before; the first run of a project with their name takes them over.

ALTER TABLE dbtorch_runs ADD COLUMN project_id TEXT NOT NULL DEFAULT '';

ALTER TABLE dbtorch_runs ADD COLUMN place TEXT NOT NULL DEFAULT '';

CREATE INDEX dbtorch_runs_project ON dbtorch_runs (project_id, started_at, run_id);

ALTER TABLE dbtorch_outbox ADD COLUMN project_id TEXT NOT NULL DEFAULT '';

-- What a process is, wherever its host name comes up again: boot, namespace, time it was started.

ALTER TABLE dbtorch_leases ADD COLUMN process TEXT NOT NULL DEFAULT '';
