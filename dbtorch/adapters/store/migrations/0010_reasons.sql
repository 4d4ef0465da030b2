-- Why a node is in its state, as a value beside its sentence: what it comes from, the nodes that
-- it names, and what somebody said where that is not the whole sentence.

ALTER TABLE dbtorch_run_nodes ADD COLUMN reason_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE dbtorch_run_nodes ADD COLUMN reason_nodes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE dbtorch_run_nodes ADD COLUMN reason_text TEXT;

ALTER TABLE dbtorch_transitions ADD COLUMN reason_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE dbtorch_transitions ADD COLUMN reason_nodes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE dbtorch_transitions ADD COLUMN reason_text TEXT;

-- The sentences by which an older dbtorch told what ended a whole run; all others stay sentences.

UPDATE dbtorch_run_nodes SET reason_kind = 'fail_fast', reason_text = ''
WHERE state = 'skipped' AND reason = 'Skipping due to fail_fast';

UPDATE dbtorch_run_nodes SET reason_kind = 'upstream_' || state, reason_text = '',
    reason_nodes = '["' || substr(reason, 1, length(reason) - length(state) - 5) || '"]'
WHERE state IN ('skipped', 'cancelled')
    AND substr(reason, length(reason) - length(state) - 4) = ' was ' || state
    AND replace(replace(reason, '"', ''), '\', '') = reason
    AND EXISTS (
        SELECT 1 FROM dbtorch_run_nodes n
        WHERE n.run_id = dbtorch_run_nodes.run_id
            AND n.node_id = substr(
                dbtorch_run_nodes.reason, 1,
                length(dbtorch_run_nodes.reason) - length(dbtorch_run_nodes.state) - 5
            )
    );
