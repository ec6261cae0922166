-- The kinds of devices on which friends see an account online, with blanks between; for those who follow presence.
ALTER TABLE user ADD COLUMN devices TEXT NOT NULL DEFAULT '';
