-- The newest form of the change log that a gateway reads, and the one that it writes.
ALTER TABLE node ADD COLUMN reads integer NOT NULL DEFAULT 1;
ALTER TABLE node ADD COLUMN writes integer NOT NULL DEFAULT 1;
