-- What dbt warned of in the last execution of a run, besides the results of nodes.

ALTER TABLE dbtorch_runs ADD COLUMN dbt_warnings TEXT NOT NULL DEFAULT '[]';
