-- What tells runs apart, so that the last ones of a pipeline are found without reading long rows.

DROP INDEX dbtorch_runs_project;

CREATE INDEX dbtorch_runs_project ON dbtorch_runs
    (project_id, started_at, run_id, target, place, pipeline, state, partial, run_type);

CREATE INDEX dbtorch_runs_before ON dbtorch_runs (project, target) WHERE place = '';

CREATE INDEX dbtorch_run_nodes_sources ON dbtorch_run_nodes (run_id, node_id) WHERE kind = 'source';
