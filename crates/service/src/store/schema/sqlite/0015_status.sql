-- The text that an account shows beside its presence, empty if it has none; when it ends, 0 if when the account goes offline;
-- when it was set.
ALTER TABLE user ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE user ADD COLUMN status_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN status_time INTEGER NOT NULL DEFAULT 0;
