-- Whether a run was of a part of its pipeline, and whether nobody saw how an attempt ended.

ALTER TABLE dbtorch_runs ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;

UPDATE dbtorch_runs SET partial = 1
WHERE replace(options, '"narrowed": true', '') <> options
    OR replace(options, '"steps": false', '') <> options
    OR replace(options, '"checks": false', '') <> options
    OR replace(dbt_args, '-resource-type"', '') <> dbt_args;

ALTER TABLE dbtorch_attempts ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;

UPDATE dbtorch_attempts SET lost = 1
WHERE state = 'failed' AND failure_class = 'transient'
    AND substr(message, 1, 20) = 'lost: the supervisor';
