-- When the last execution of a run began that went on, and how long those before it took.

ALTER TABLE dbtorch_runs ADD COLUMN resumed_at TEXT;

ALTER TABLE dbtorch_runs ADD COLUMN seconds_before REAL NOT NULL DEFAULT 0;
