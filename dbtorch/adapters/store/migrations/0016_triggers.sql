-- What a tick was made by that no schedule has made, and what is known of the conditions of a pipeline.

ALTER TABLE dbtorch_ticks ADD COLUMN cause TEXT NOT NULL DEFAULT '';

ALTER TABLE dbtorch_ticks ADD COLUMN event_key TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX dbtorch_ticks_event
    ON dbtorch_ticks (project_id, place, pipeline, event_key) WHERE event_key <> '';

ALTER TABLE dbtorch_schedules ADD COLUMN seen TEXT NOT NULL DEFAULT '';

CREATE INDEX dbtorch_runs_ends ON dbtorch_runs (project_id, pipeline, place, finished_at);
