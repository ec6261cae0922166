-- The version of `invisible`: the stamp of the change that set it last, 0 if it was not set since this column exists. What
-- else presence is has no version.
ALTER TABLE user ADD COLUMN invisible_version INTEGER NOT NULL DEFAULT 0;
