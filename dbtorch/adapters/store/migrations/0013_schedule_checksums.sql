-- Which schedule a pipeline's watermark is about: one that was changed has missed nothing.

ALTER TABLE dbtorch_schedules ADD COLUMN checksum TEXT NOT NULL DEFAULT '';
