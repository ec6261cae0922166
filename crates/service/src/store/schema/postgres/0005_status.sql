-- The text that an account shows beside its presence, empty if it has none; when it ends, 0 if when the account goes offline;
-- when it was set.
ALTER TABLE users ADD COLUMN status text NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN status_until bigint NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN status_time bigint NOT NULL DEFAULT 0;
