-- What a node's code was when it was planned; empty for runs of before.

ALTER TABLE dbtorch_run_nodes ADD COLUMN checksum TEXT NOT NULL DEFAULT '';
