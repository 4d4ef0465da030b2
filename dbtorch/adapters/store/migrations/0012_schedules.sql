-- What is known of pipelines that run by themselves: until when it was decided what of their times
-- runs, who has paused them, and each time with what became of it.

CREATE TABLE dbtorch_schedules (
    project_id TEXT NOT NULL,
    place TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    version INTEGER NOT NULL,
    watermark TEXT,
    paused_at TEXT,
    paused_by TEXT NOT NULL DEFAULT '',
    paused_reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (project_id, place, pipeline)
);

CREATE TABLE dbtorch_ticks (
    project_id TEXT NOT NULL,
    place TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    scheduled_for TEXT NOT NULL,
    interval_start TEXT,
    interval_end TEXT NOT NULL,
    due_at TEXT NOT NULL,
    backlog INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    run_id TEXT NOT NULL DEFAULT '',
    token TEXT NOT NULL DEFAULT '',
    server TEXT NOT NULL DEFAULT '',
    claims INTEGER NOT NULL DEFAULT 0,
    claimed_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    PRIMARY KEY (project_id, place, pipeline, scheduled_for)
);

CREATE INDEX dbtorch_ticks_open ON dbtorch_ticks (project_id, state);

CREATE INDEX dbtorch_ticks_run ON dbtorch_ticks (run_id);

CREATE INDEX dbtorch_ticks_token ON dbtorch_ticks (token);
